/* UDP sockets, bound and connected, still talk. */
#include "inet.h"
GUEST {
    int server = inet_bound(SOCK_DGRAM), client = inet_reach(server, SOCK_DGRAM);
    MUST(client >= 0);
    ready();
    CHECK(send(client, "text", 4, 0) == 4 && reads(server, "text"));
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    CHECK(getpeername(client, (struct sockaddr *)&peer, &length) == 0);
}
