/* Messages will carry who sent them (SO_PASSCRED). */
#include "guest.h"
GUEST {
    int pair[2], yes = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0);
    ready();
    socklen_t length = sizeof yes;
    yes = 0;
    CHECK(getsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, &length) == 0 && yes == 1, "SO_PASSCRED");
}
