/* A TCP connection with more on its way than its reader takes: nothing of it is lost, in order, to the end. */
#include "inet.h"
REFUSED("not yet sent all")
GUEST {
    int pair[2];
    inet_pair(pair);
    int total = inet_fill(pair[0]);
    ready();
    CHECK(shutdown(pair[0], SHUT_WR) == 0);
    inet_drain(pair[1], total);
}
