/* System V shared memory (attached by two), semaphores with values, and a queue with messages. */
#include "guest.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
static volatile char *memory;
static void child(void) {
    while (memory[0] != 'P') sleep_ms(5);
    memory[1] = 'C';
}
GUEST {
    int shm = shmget(0x4711, 8192, IPC_CREAT | IPC_EXCL | 0640), sem = semget(0x4712, 3, IPC_CREAT | 0600);
    int queue = msgget(0x4713, IPC_CREAT | 0600);
    unsigned short values[3] = {4, 0, 9}, back[3];
    struct { long type; char text[8]; } one = {5, "five"}, two = {3, "three"}, got;
    MUST(shm >= 0 && sem >= 0 && queue >= 0 && semctl(sem, 0, SETALL, values) == 0);
    MUST(msgsnd(queue, &one, 8, 0) == 0 && msgsnd(queue, &two, 8, 0) == 0);
    memory = shmat(shm, NULL, 0);
    MUST(memory != (void *)-1);
    strcpy((char *)memory + 100, "shared");
    make_child(child);
    ready();
    CHECK(strcmp((char *)memory + 100, "shared") == 0);
    memory[0] = 'P';
    for (int i = 0; i < 1000 && memory[1] != 'C'; i++) sleep_ms(5);
    CHECK(memory[1] == 'C', "the two have parted");
    CHECK(shmget(0x4711, 0, 0) == shm && semget(0x4712, 0, 0) == sem && msgget(0x4713, 0) == queue);
    CHECK(semctl(sem, 0, GETALL, back) == 0 && memcmp(values, back, sizeof values) == 0);
    CHECK(msgrcv(queue, &got, 8, 3, IPC_NOWAIT) == 8 && strcmp(got.text, "three") == 0);
    CHECK(msgrcv(queue, &got, 8, 0, IPC_NOWAIT) == 8 && got.type == 5 && strcmp(got.text, "five") == 0);
    struct shmid_ds state;
    CHECK(shmctl(shm, IPC_STAT, &state) == 0 && state.shm_nattch == 2 && (state.shm_perm.mode & 0777) == 0640);
}
