/* Signals that are blocked and pending: to the process, to one thread, and queued ones with values, in order. */
#include "guest.h"
GUEST {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    for (int i = 0; i < 5; i++) MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i}) == 0);
    MUST(kill(getpid(), SIGUSR1) == 0 && pthread_kill(pthread_self(), SIGUSR2) == 0);
    ready();
    struct timespec now = {0, 0};
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    for (int i = 0; i < 5; i++) {
        CHECK(sigtimedwait(&one, &info, &now) == SIGRTMIN, "number %d is lost", i);
        CHECK(info.si_value.sival_int == 100 + i && info.si_code == SI_QUEUE && info.si_pid == getpid());
    }
    CHECK(sigtimedwait(&one, &info, &now) < 0, "one too many");
    sigset_t pending;
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2));
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    CHECK(sigtimedwait(&one, &info, &now) == SIGUSR2);
}
