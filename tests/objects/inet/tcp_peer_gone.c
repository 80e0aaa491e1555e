/* A TCP connection whose peer has closed it, with data not read yet. */
#include "inet.h"
GUEST {
    int pair[2];
    inet_pair(pair);
    MUST(write(pair[0], "last", 4) == 4);
    close(pair[0]);
    ready();
    char byte;
    CHECK(reads(pair[1], "last"));
    CHECK(read(pair[1], &byte, 1) == 0);
}
