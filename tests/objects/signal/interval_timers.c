/* The three interval timers count on. */
#include "guest.h"
GUEST {
    struct itimerval hour = {{9, 0}, {3600, 0}}, left;
    for (int i = ITIMER_REAL; i <= ITIMER_PROF; i++) MUST(setitimer(i, &hour, NULL) == 0);
    ready();
    for (int i = ITIMER_REAL; i <= ITIMER_PROF; i++) {
        CHECK(getitimer(i, &left) == 0 && left.it_interval.tv_sec == 9, "timer %d", i);
        CHECK(left.it_value.tv_sec > 3000 && left.it_value.tv_sec <= 3600, "timer %d: %ld s", i, (long)left.it_value.tv_sec);
    }
}
