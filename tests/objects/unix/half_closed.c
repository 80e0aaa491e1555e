/* Stream sockets of which one direction was shut down, with data before the end; and one whose peer is gone. */
#include "guest.h"
GUEST {
    int pair[2], left[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, left) == 0);
    MUST(write(pair[0], "last", 4) == 4 && shutdown(pair[0], SHUT_WR) == 0);
    MUST(write(left[0], "bye", 3) == 3);
    close(left[0]);
    signal(SIGPIPE, SIG_IGN);
    ready();
    char byte;
    CHECK(reads(pair[1], "last"));
    CHECK(read(pair[1], &byte, 1) == 0, "the end is gone");
    CHECK(write(pair[0], "x", 1) < 0 && errno == EPIPE);
    CHECK(write(pair[1], "back", 4) == 4 && reads(pair[0], "back"));
    CHECK(reads(left[1], "bye"));
    CHECK(recv(left[1], &byte, 1, MSG_DONTWAIT) == 0, "the end after a peer that is gone");
}
