/* An epoll descriptor in another one, with something ready in the inner one. */
#include "guest.h"
#include <sys/epoll.h>
GUEST {
    int inner = epoll_create1(0), outer = epoll_create1(0), ends[2];
    struct epoll_event of_pipe = {.events = EPOLLIN, .data.u64 = 1}, of_inner = {.events = EPOLLIN, .data.u64 = 2}, got;
    MUST(pipe(ends) == 0 && epoll_ctl(inner, EPOLL_CTL_ADD, ends[0], &of_pipe) == 0);
    MUST(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &of_inner) == 0 && write(ends[1], "x", 1) == 1);
    ready();
    CHECK(epoll_wait(outer, &got, 1, 2000) == 1 && got.data.u64 == 2);
    CHECK(epoll_wait(inner, &got, 1, 2000) == 1 && got.data.u64 == 1);
}
