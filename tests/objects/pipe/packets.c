/* A pipe in packet mode (O_DIRECT) keeps what was written apart. */
#include "guest.h"
REFUSED("keeps writes apart")
GUEST {
    int ends[2];
    MUST(pipe2(ends, O_DIRECT) == 0 && write(ends[1], "one", 3) == 3 && write(ends[1], "two", 3) == 3);
    ready();
    CHECK(reads(ends[0], "one"), "the first");
    CHECK(reads(ends[0], "two"), "the second");
    CHECK(fcntl(ends[1], F_GETFL) & O_DIRECT);
}
