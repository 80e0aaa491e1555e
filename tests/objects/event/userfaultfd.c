/* userfaultfd(2). */
#include "guest.h"
REFUSED("userfaultfd")
GUEST {
    int fd = (int)syscall(SYS_userfaultfd, 1 | O_CLOEXEC);
    MUST(fd >= 0);
    ready();
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0);
}
