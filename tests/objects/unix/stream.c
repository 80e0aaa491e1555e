/* A pair of stream sockets with unread data both ways. */
#include "guest.h"
GUEST {
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    char block[50000];
    memset(block, 'b', sizeof block);
    MUST(write(pair[0], block, sizeof block) == sizeof block && write(pair[1], "back", 4) == 4);
    ready();
    char got[sizeof block + 1];
    CHECK(recv(pair[1], got, sizeof got, MSG_WAITALL | MSG_DONTWAIT) == sizeof block && memcmp(got, block, sizeof block) == 0);
    CHECK(reads(pair[0], "back"));
    CHECK(write(pair[0], "on", 2) == 2 && reads(pair[1], "on"));
}
