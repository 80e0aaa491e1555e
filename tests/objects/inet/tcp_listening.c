/* A listening TCP socket takes new connections. */
#include "inet.h"
GUEST {
    int listener = inet_bound(SOCK_STREAM), yes = 1;
    MUST(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 && listen(listener, 9) == 0);
    ready();
    int client = inet_reach(listener, SOCK_STREAM), server = accept(listener, NULL, NULL);
    CHECK(client >= 0 && server >= 0 && write(client, "text", 4) == 4 && reads(server, "text"));
    socklen_t length = sizeof yes;
    yes = 0;
    CHECK(getsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, &length) == 0 && yes == 1);
}
