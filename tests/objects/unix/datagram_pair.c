/* A pair of datagram sockets with queued messages. */
#include "guest.h"
GUEST {
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    MUST(send(pair[0], "one", 3, 0) == 3 && send(pair[0], "two", 3, 0) == 3);
    ready();
    CHECK(reads(pair[1], "one"));
    CHECK(reads(pair[1], "two"));
}
