/* A System V semaphore that is given back when its holder dies (SEM_UNDO). */
#include "guest.h"
#include <sys/ipc.h>
#include <sys/sem.h>
static int sem;
static volatile int *taken;
static void child(void) {
    struct sembuf take = {0, -1, SEM_UNDO};
    MUST(semop(sem, &take, 1) == 0);
    *taken = 1;
}
REFUSED("SEM_UNDO")
GUEST {
    taken = make_shared(4096);
    sem = semget(IPC_PRIVATE, 1, 0600);
    MUST(sem >= 0 && semctl(sem, 0, SETVAL, 1) == 0);
    pid_t pid = make_child(child);
    for (int i = 0; i < 1000 && !*taken; i++) sleep_ms(5);
    ready();
    CHECK(semctl(sem, 0, GETVAL) == 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK(semctl(sem, 0, GETVAL) == 1, "it is not given back");
}
