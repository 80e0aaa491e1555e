/* Who waits for long, and for how long is not written anywhere, waits on: no call is interrupted, and each ends when it was to. */
#include "guest.h"
#include <linux/futex.h>
enum { POLL, NANOSLEEP, CLOCK, FUTEX, ENDED, CALLS };
static const int seconds[CALLS] = {20, 22, 24, 26, 3600};
static int error[CALLS], never[2];
static double took[CALLS];
static uint32_t word;
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}
static void *play(void *number) {
    int which = (int)(intptr_t)number;
    struct pollfd fd = {never[0], POLLIN, 0};
    struct timespec time = {seconds[which], 0};
    double begun = now();
    switch (which) {
    case POLL: fd.fd = -1; error[which] = poll(&fd, 1, seconds[which] * 1000) == 0 ? 0 : errno; break;
    case NANOSLEEP: error[which] = nanosleep(&time, NULL) == 0 ? 0 : errno; break;
    case CLOCK: error[which] = clock_nanosleep(CLOCK_REALTIME, 0, &time, NULL); break;
    case FUTEX:
        error[which] = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0) == 0 || errno == ETIMEDOUT ? 0 : errno;
        break;
    case ENDED: error[which] = poll(&fd, 1, seconds[which] * 1000) == 1 ? 0 : errno ? errno : -1;
    }
    took[which] = now() - begun;
    return NULL;
}
GUEST {
    static const char *const names[] = {"poll", "nanosleep", "clock_nanosleep", "futex", "poll that is ended"};
    pthread_t threads[CALLS];
    MUST(pipe(never) == 0);
    for (int i = 0; i < CALLS; i++) MUST(pthread_create(&threads[i], NULL, play, (void *)(intptr_t)i) == 0);
    sleep_ms(200);
    ready();
    CHECK(write(never[1], "x", 1) == 1);
    for (int i = 0; i < CALLS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(error[i] == 0, "%s: errno %d", names[i], error[i]);
        CHECK(i == ENDED || took[i] >= seconds[i], "%s: after %f s", names[i], took[i]);
    }
}
