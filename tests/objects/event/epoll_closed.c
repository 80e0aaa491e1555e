/* A watch whose descriptor number was closed, while a duplicate keeps the file open, still fires. */
#include "guest.h"
#include <sys/epoll.h>
GUEST {
    int set = epoll_create1(0), ends[2];
    MUST(pipe(ends) == 0);
    int other = dup(ends[0]);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 3};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0 && other >= 0);
    close(ends[0]);
    ready();
    struct epoll_event got[4];
    CHECK(epoll_wait(set, got, 4, 0) == 0 && write(ends[1], "x", 1) == 1);
    CHECK(epoll_wait(set, got, 4, 0) == 1 && got[0].data.u32 == 3);
}
