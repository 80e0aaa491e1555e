/* Options of a socket: buffer sizes, time limits. */
#include "guest.h"
GUEST {
    int pair[2], size = 50000, yes = 1;
    struct timeval limit = {3, 250000};
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes) == 0);
    ready();
    socklen_t length = sizeof size;
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, &length) == 0 && size == 100000, "SO_SNDBUF %d", size);
    length = sizeof limit;
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, &length) == 0 && limit.tv_sec == 3, "SO_RCVTIMEO");
    length = sizeof yes, yes = 0;
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &yes, &length) == 0 && yes == 1, "SO_KEEPALIVE");
    CHECK(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
}
