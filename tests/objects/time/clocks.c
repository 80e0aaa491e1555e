/* Monotonic and boot-time clocks go on from where they stopped, never back; the real time is true. */
#include "guest.h"
#include <math.h>
static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}
GUEST {
    double monotonic = now(CLOCK_MONOTONIC), boot = now(CLOCK_BOOTTIME), real = now(CLOCK_REALTIME);
    ready();
    double d_monotonic = now(CLOCK_MONOTONIC) - monotonic, d_boot = now(CLOCK_BOOTTIME) - boot;
    double d_real = now(CLOCK_REALTIME) - real;
    CHECK(d_monotonic >= 0 && d_boot >= 0, "back by %g, %g s", d_monotonic, d_boot);
    CHECK(d_monotonic <= d_real + 2, "%g s on the monotonic clock in %g s", d_monotonic, d_real);
    CHECK(d_boot <= d_real + 2, "%g s on the boot-time clock in %g s", d_boot, d_real);
    CHECK(llabs(time(NULL) - outside_time()) < 60, "the real time is %ld, not %ld", time(NULL), outside_time());
}
