/* A TCP connection that waits to be accepted, with data in it. */
#include "inet.h"
REFUSED("a connection waits for it")
GUEST {
    int listener = inet_bound(SOCK_STREAM);
    MUST(listen(listener, 5) == 0);
    int client = inet_reach(listener, SOCK_STREAM);
    MUST(client >= 0 && write(client, "hello", 5) == 5);
    ready();
    MUST(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0);
    CHECK(reads(server, "hello"));
    CHECK(write(server, "back", 4) == 4 && reads(client, "back"));
}
