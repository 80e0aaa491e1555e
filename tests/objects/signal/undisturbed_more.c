/* Other calls that the kernel interrupts whenever a process is stopped (signal(7)) go on waiting. */
#include "guest.h"
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/sem.h>
enum { PWAIT, PWAIT2, SEMAPHORE, SIGNALS, SLEEP, FUTEX, CALLS };
static int set, semaphores, error[CALLS];
static uint32_t word;
static volatile bool ended;
static sigset_t awaited;
static void *play(void *number) {
    struct epoll_event got;
    struct sembuf take = {0, -1, 0};
    struct timespec sleep = {5, 0}, shortly = {0, 300000000};
    long result = 0;
    int which = (int)(intptr_t)number;
    switch (which) {
    case PWAIT: result = epoll_pwait(set, &got, 1, -1, &awaited); break;
    case PWAIT2: result = syscall(SYS_epoll_pwait2, set, &got, 1, NULL, NULL, 8L); break;
    case SEMAPHORE: result = semop(semaphores, &take, 1); break;
    case SIGNALS: result = sigwaitinfo(&awaited, NULL); break;
    case SLEEP: errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &sleep, &sleep), result = errno ? -1 : 0; break;
    case FUTEX:
        while (!ended && result == 0)
            result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &shortly, NULL, 0) == 0 || errno == ETIMEDOUT ? 0 : -1;
    }
    if (result < 0) error[which] = errno;
    return NULL;
}
GUEST {
    static const char *const names[] = {"epoll_pwait", "epoll_pwait2", "semop", "sigwaitinfo", "clock_nanosleep", "futex"};
    int ends[2];
    pthread_t threads[CALLS];
    struct epoll_event event = {.events = EPOLLIN};
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGRTMIN);
    MUST(sigprocmask(SIG_BLOCK, &awaited, NULL) == 0 && pipe(ends) == 0 && (set = epoll_create1(0)) >= 0);
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0);
    MUST((semaphores = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    for (int i = 0; i < CALLS; i++) MUST(pthread_create(&threads[i], NULL, play, (void *)(intptr_t)i) == 0);
    sleep_ms(50);
    ready();
    struct sembuf give = {0, 1, 0};
    ended = true;
    CHECK(write(ends[1], "x", 1) == 1 && semop(semaphores, &give, 1) == 0 && kill(getpid(), SIGRTMIN) == 0);
    for (int i = 0; i < CALLS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(error[i] == 0, "%s: errno %d", names[i], error[i]);
    }
    semctl(semaphores, 0, IPC_RMID);
}
