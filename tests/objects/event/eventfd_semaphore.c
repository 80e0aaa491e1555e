/* An eventfd that is a semaphore: each read takes one. */
#include "guest.h"
#include <sys/eventfd.h>
REFUSED("EFD_SEMAPHORE")
GUEST {
    int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    uint64_t value;
    MUST(fd >= 0);
    ready();
    CHECK(read(fd, &value, 8) == 8 && value == 1 && read(fd, &value, 8) == 8 && value == 1);
    CHECK(read(fd, &value, 8) < 0 && errno == EAGAIN);
}
