/* What was written to a pipe and not read is there, in a pipe of the same capacity. */
#include "guest.h"
GUEST {
    int ends[2];
    MUST(pipe2(ends, O_NONBLOCK) == 0);
    MUST(fcntl(ends[0], F_SETPIPE_SZ, 262144) == 262144);
    char block[100000];
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i * 31);
    MUST(write(ends[1], block, sizeof block) == sizeof block);
    ready();
    char back[sizeof block + 1];
    CHECK(fcntl(ends[0], F_GETPIPE_SZ) == 262144, "capacity %d", fcntl(ends[0], F_GETPIPE_SZ));
    int waiting;
    CHECK(ioctl(ends[0], FIONREAD, &waiting) == 0 && waiting == (int)sizeof block, "%d bytes", waiting);
    ssize_t got = 0, more;
    while ((more = read(ends[0], back + got, sizeof back - got)) > 0) got += more;
    CHECK(got == sizeof block && memcmp(block, back, got) == 0);
    CHECK(more < 0 && errno == EAGAIN);
}
