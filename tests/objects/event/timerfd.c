/* A timerfd that counts on, one that has expired unread, and one that is disarmed. */
#include "guest.h"
#include <sys/timerfd.h>
GUEST {
    int running = timerfd_create(CLOCK_MONOTONIC, 0), done = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int idle = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct itimerspec hour = {{7, 0}, {3600, 0}}, soon = {{0, 0}, {0, 1000000}}, left;
    MUST(timerfd_settime(running, 0, &hour, NULL) == 0 && timerfd_settime(done, 0, &soon, NULL) == 0 && idle >= 0);
    sleep_ms(20);
    ready();
    uint64_t count;
    CHECK(timerfd_gettime(running, &left) == 0 && left.it_interval.tv_sec == 7);
    CHECK(left.it_value.tv_sec > 3000 && left.it_value.tv_sec < 3600, "%ld s left", (long)left.it_value.tv_sec);
    CHECK(read(done, &count, 8) == 8 && count == 1, "expired");
    CHECK(read(idle, &count, 8) < 0 && errno == EAGAIN);
    CHECK(timerfd_settime(idle, 0, &soon, NULL) == 0);
    sleep_ms(20);
    CHECK(read(idle, &count, 8) == 8 && count == 1);
}
