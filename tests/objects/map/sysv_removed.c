/* System V shared memory of two that was removed when both had it, as X clients do (MIT-SHM). */
#include "guest.h"
#include <sys/ipc.h>
#include <sys/shm.h>
static volatile char *memory;
static void child(void) {
    while (memory[0] != 'P') sleep_ms(5);
    memory[1] = 'C';
}
GUEST {
    int shm = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
    memory = shmat(shm, NULL, 0);
    MUST(shm >= 0 && memory != (void *)-1);
    strcpy((char *)memory + 100, "shared");
    make_child(child);
    MUST(shmctl(shm, IPC_RMID, NULL) == 0);
    ready();
    CHECK(strcmp((char *)memory + 100, "shared") == 0);
    memory[0] = 'P';
    for (int i = 0; i < 1000 && memory[1] != 'C'; i++) sleep_ms(5);
    CHECK(memory[1] == 'C', "the two have parted");
    CHECK(shmdt((char *)memory) == 0);
}
