/* The counter of an eventfd. */
#include "guest.h"
#include <sys/eventfd.h>
GUEST {
    int fd = eventfd(5, EFD_NONBLOCK);
    uint64_t value = 4000000000;
    MUST(fd >= 0 && write(fd, &value, 8) == 8);
    ready();
    CHECK(read(fd, &value, 8) == 8 && value == 4000000005);
    CHECK(read(fd, &value, 8) < 0 && errno == EAGAIN);
}
