/* epoll_wait(2), which the kernel interrupts whenever a process is stopped (signal(7)), goes on waiting. */
#include "guest.h"
#include <sys/epoll.h>
static int set, error;
static void *waiting(void *unused) {
    struct epoll_event got;
    error = epoll_wait(set, &got, 1, -1) == 1 ? 0 : errno;
    return unused;
}
GUEST {
    int ends[2];
    pthread_t thread;
    set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    MUST(pipe(ends) == 0 && epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0);
    MUST(pthread_create(&thread, NULL, waiting, NULL) == 0);
    sleep_ms(50);
    ready();
    CHECK(write(ends[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0);
    CHECK(error == 0, "errno %d", error);
}
