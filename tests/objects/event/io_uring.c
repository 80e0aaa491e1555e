/* io_uring. */
#include "guest.h"
#include <linux/io_uring.h>
REFUSED("io_uring")
GUEST {
    struct io_uring_params parameters = {0};
    int fd = (int)syscall(SYS_io_uring_setup, 8, &parameters);
    MUST(fd >= 0);
    ready();
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0);
}
