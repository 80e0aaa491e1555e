/* A pair of datagram sockets with an empty message between others. */
#include "guest.h"
REFUSED("an empty message")
GUEST {
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    MUST(send(pair[0], "one", 3, 0) == 3 && send(pair[0], "", 0, 0) == 0 && send(pair[0], "two", 3, 0) == 3);
    ready();
    MUST(fcntl(pair[1], F_SETFL, O_NONBLOCK) == 0);
    CHECK(reads(pair[1], "one"));
    CHECK(reads(pair[1], ""));
    CHECK(reads(pair[1], "two"));
}
