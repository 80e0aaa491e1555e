/* poll(2) and nanosleep(2) go on waiting. */
#include "guest.h"
static int never[2], error[2];
static volatile bool ended;
static void *in_poll(void *unused) {
    struct pollfd fd = {never[0], POLLIN, 0};
    error[0] = poll(&fd, 1, -1) == 1 ? 0 : errno;
    return unused;
}
static void *in_sleep(void *unused) {
    while (!ended) {
        struct timespec time = {0, 300000000};
        if (nanosleep(&time, NULL) != 0) error[1] = errno;
    }
    return unused;
}
GUEST {
    pthread_t threads[2];
    MUST(pipe(never) == 0 && pthread_create(&threads[0], NULL, in_poll, NULL) == 0);
    MUST(pthread_create(&threads[1], NULL, in_sleep, NULL) == 0);
    sleep_ms(50);
    ready();
    ended = true;
    CHECK(write(never[1], "x", 1) == 1 && pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
    CHECK(error[0] == 0, "poll: errno %d", error[0]);
    CHECK(error[1] == 0, "nanosleep: errno %d", error[1]);
}
