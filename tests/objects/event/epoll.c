/* An epoll set: what is watched, for what, with which data; a one-shot that has fired stays silent. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
GUEST {
    int set = epoll_create1(EPOLL_CLOEXEC), quiet = eventfd(0, 0), loud = eventfd(1, 0), once = eventfd(1, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1234567890abcdef};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, loud, &event) == 0);
    event.data.u64 = 7;
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, quiet, &event) == 0);
    event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 9};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, once, &event) == 0);
    struct epoll_event got[8];
    MUST(epoll_wait(set, got, 8, 0) == 2);
    ready();
    CHECK(epoll_wait(set, got, 8, 0) == 1 && got[0].data.u64 == 0x1234567890abcdef && got[0].events == EPOLLIN);
    uint64_t one = 1;
    CHECK(read(loud, &one, 8) == 8 && epoll_wait(set, got, 8, 0) == 0);
    CHECK(write(quiet, &one, 8) == 8 && epoll_wait(set, got, 8, 0) == 1 && got[0].data.u64 == 7);
}
