/* The priority of input and output (ioprio_set(2)). */
#include "guest.h"
GUEST {
    MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6) == 0);
    ready();
    CHECK(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6), "%ld", syscall(SYS_ioprio_get, 1, 0));
}
