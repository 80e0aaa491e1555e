/* A TCP connection of which one direction is closed. */
#include "inet.h"
GUEST {
    int pair[2];
    inet_pair(pair);
    MUST(write(pair[0], "last", 4) == 4 && shutdown(pair[0], SHUT_WR) == 0);
    ready();
    char byte;
    CHECK(reads(pair[1], "last"));
    CHECK(read(pair[1], &byte, 1) == 0);
    CHECK(write(pair[1], "back", 4) == 4 && reads(pair[0], "back"));
}
