/* POSIX timers keep their ids, clocks, intervals, values and signals; one that has fired while blocked is pending. */
#include "guest.h"
GUEST {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    timer_t skipped, running, soon;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 77};
    MUST(timer_create(CLOCK_REALTIME, &event, &skipped) == 0 && timer_create(CLOCK_MONOTONIC, &event, &running) == 0);
    MUST(timer_delete(skipped) == 0 && timer_create(CLOCK_MONOTONIC, &event, &soon) == 0);
    struct itimerspec hour = {{8, 0}, {3600, 0}}, short_ = {{0, 0}, {0, 1000000}}, left;
    MUST(timer_settime(running, 0, &hour, NULL) == 0 && timer_settime(soon, 0, &short_, NULL) == 0);
    sleep_ms(20);
    ready();
    CHECK(timer_gettime(running, &left) == 0 && left.it_interval.tv_sec == 8);
    CHECK(left.it_value.tv_sec > 3000 && left.it_value.tv_sec < 3600, "%ld s left", (long)left.it_value.tv_sec);
    struct timespec now = {0, 0};
    siginfo_t info;
    CHECK(sigtimedwait(&set, &info, &now) == SIGRTMIN + 1, "what has fired is lost");
    CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 77, "code %d, value %d", info.si_code, info.si_value.sival_int);
    CHECK(timer_settime(soon, 0, &short_, NULL) == 0);
    now.tv_sec = 5;
    CHECK(sigtimedwait(&set, &info, &now) == SIGRTMIN + 1 && info.si_value.sival_int == 77);
}
