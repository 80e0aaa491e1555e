/* The size of a pipe (F_SETPIPE_SZ), and its owner's flags. */
#include "guest.h"
GUEST {
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 262144) == 262144);
    static char block[200000];
    memset(block, 'p', sizeof block);
    MUST(write(ends[1], block, sizeof block) == sizeof block);
    ready();
    CHECK(fcntl(ends[1], F_GETPIPE_SZ) == 262144, "%d", fcntl(ends[1], F_GETPIPE_SZ));
    ssize_t got = 0, length;
    while ((length = read(ends[0], block, sizeof block)) > 0) got += length;
    CHECK(got == sizeof block && errno == EAGAIN, "%zd", got);
}
