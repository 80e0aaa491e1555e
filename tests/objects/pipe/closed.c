/* A pipe whose writer is gone: its data first, then the end; and one whose reader is gone. */
#include "guest.h"
GUEST {
    int a[2], b[2];
    MUST(pipe(a) == 0 && pipe(b) == 0 && write(a[1], "last", 4) == 4);
    close(a[1]);
    close(b[0]);
    signal(SIGPIPE, SIG_IGN);
    ready();
    char byte;
    CHECK(reads(a[0], "last"));
    CHECK(read(a[0], &byte, 1) == 0, "the end is gone");
    CHECK(write(b[1], "x", 1) < 0 && errno == EPIPE);
}
