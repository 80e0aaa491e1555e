/* A UDP datagram that was received and not read. */
#include "inet.h"
REFUSED("not yet read all UDP datagrams")
GUEST {
    int server = inet_bound(SOCK_DGRAM), client = inet_reach(server, SOCK_DGRAM);
    MUST(client >= 0 && send(client, "one", 3, 0) == 3 && send(client, "two", 3, 0) == 3);
    MUST(fcntl(server, F_SETFL, O_NONBLOCK) == 0);
    ready();
    CHECK(reads(server, "one"));
    CHECK(reads(server, "two"));
}
