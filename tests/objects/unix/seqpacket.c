/* A pair of seqpacket sockets keeps queued messages apart. */
#include "guest.h"
GUEST {
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    MUST(send(pair[0], "one", 3, 0) == 3 && send(pair[0], "second", 6, 0) == 6 && send(pair[1], "back", 4, 0) == 4);
    ready();
    CHECK(reads(pair[1], "one"));
    CHECK(reads(pair[1], "second"));
    CHECK(reads(pair[0], "back"));
}
