/* A named pipe with data in it, open at both ends, and one that has lost its name. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    MUST(mkfifo("fifo", 0644) == 0 && mkfifo("gone", 0644) == 0);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("fifo", O_WRONLY);
    int both = open("gone", O_RDWR);
    MUST(reader >= 0 && writer >= 0 && both >= 0 && unlink("gone") == 0);
    MUST(write(writer, "named", 5) == 5 && write(both, "nameless", 8) == 8);
    ready();
    CHECK(reads(reader, "named"));
    CHECK(reads(both, "nameless"));
    int late = open("fifo", O_WRONLY | O_NONBLOCK);
    CHECK(late >= 0 && write(late, "more", 4) == 4 && reads(reader, "more"));
    CHECK(access("gone", F_OK) != 0);
}
