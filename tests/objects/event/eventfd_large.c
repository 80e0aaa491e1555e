/* An eventfd with a count that 32 bits cannot tell. */
#include "guest.h"
#include <sys/eventfd.h>
REFUSED("eventfd with a count")
GUEST {
    int fd = eventfd(5, EFD_NONBLOCK);
    uint64_t value = 1ULL << 40;
    MUST(fd >= 0 && write(fd, &value, 8) == 8);
    ready();
    CHECK(read(fd, &value, 8) == 8 && value == (1ULL << 40) + 5);
}
