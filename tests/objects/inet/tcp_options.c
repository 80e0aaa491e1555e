/* Options of a TCP connection. */
#include "inet.h"
GUEST {
    int pair[2], yes = 1, idle = 77;
    inet_pair(pair);
    MUST(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes) == 0);
    MUST(setsockopt(pair[0], IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0);
    ready();
    socklen_t length = sizeof yes;
    yes = idle = 0;
    CHECK(getsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &yes, &length) == 0 && yes == 1, "TCP_NODELAY");
    yes = 0;
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &yes, &length) == 0 && yes == 1, "SO_KEEPALIVE");
    CHECK(getsockopt(pair[0], IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length) == 0 && idle == 77, "TCP_KEEPIDLE %d", idle);
}
