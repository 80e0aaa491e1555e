/* A counter of perf_event_open(2). */
#include "guest.h"
#include <linux/perf_event.h>
REFUSED("perf_event")
GUEST {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes};
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    attributes.exclude_kernel = 1;
    int fd = (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
    MUST(fd >= 0);
    ready();
    uint64_t count = 0;
    CHECK(read(fd, &count, 8) == 8 && count > 0);
}
