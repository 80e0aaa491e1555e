/* Who sleeps until a time wakes at that time: neither early nor never. */
#include "guest.h"
static struct timespec until;
static volatile int result = -1;
static void *sleeper(void *unused) {
    while ((result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)) == EINTR) {}
    return unused;
}
GUEST {
    pthread_t thread;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 15;
    MUST(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    ready();
    CHECK(pthread_join(thread, NULL) == 0 && result == 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec), "too early");
}
