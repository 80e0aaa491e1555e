/* An edge-triggered watch with a pending event that was not fetched, and a nested set. */
#include "guest.h"
#include <sys/epoll.h>
GUEST {
    int inner = epoll_create1(0), outer = epoll_create1(0), ends[2];
    MUST(pipe(ends) == 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 1};
    MUST(epoll_ctl(inner, EPOLL_CTL_ADD, ends[0], &event) == 0);
    event = (struct epoll_event){.events = EPOLLIN, .data.u32 = 2};
    MUST(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event) == 0);
    MUST(write(ends[1], "x", 1) == 1);
    ready();
    struct epoll_event got[4];
    CHECK(epoll_wait(outer, got, 4, 0) == 1 && got[0].data.u32 == 2);
    CHECK(epoll_wait(inner, got, 4, 0) == 1 && got[0].data.u32 == 1, "the pending event is lost");
    CHECK(epoll_wait(inner, got, 4, 0) == 0, "it came twice");
    CHECK(write(ends[1], "y", 1) == 1 && epoll_wait(inner, got, 4, 0) == 1);
}
