/* Counters of eventfds, plain and as a semaphore. */
#include "guest.h"
#include <sys/eventfd.h>
GUEST {
    int plain = eventfd(5, EFD_NONBLOCK), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    uint64_t value = 4000000000;
    MUST(plain >= 0 && semaphore >= 0 && write(plain, &value, 8) == 8);
    ready();
    CHECK(read(plain, &value, 8) == 8 && value == 4000000005);
    CHECK(read(plain, &value, 8) < 0 && errno == EAGAIN);
    CHECK(read(semaphore, &value, 8) == 8 && value == 1 && read(semaphore, &value, 8) == 8 && value == 1);
    CHECK(read(semaphore, &value, 8) < 0 && errno == EAGAIN);
}
