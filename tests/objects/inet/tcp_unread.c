/* A TCP connection within the session with unread data both ways. */
#include "inet.h"
GUEST {
    int pair[2];
    inet_pair(pair);
    char block[60000];
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i * 7);
    MUST(write(pair[0], block, sizeof block) == sizeof block && write(pair[1], "back", 4) == 4);
    ready();
    char got[sizeof block];
    CHECK(recv(pair[1], got, sizeof got, MSG_WAITALL) == sizeof got && memcmp(got, block, sizeof got) == 0);
    CHECK(reads(pair[0], "back"));
    CHECK(write(pair[0], "on", 2) == 2 && reads(pair[1], "on"));
}
