/* A TCP connection with more on its way than its reader takes: nothing of it is lost, in order, to the end. */
#include "inet.h"
REFUSED("not yet sent all")
GUEST {
    int pair[2], total = 0;
    inet_pair(pair);
    MUST(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
    uint32_t block[1024];
    uint32_t next = 0;
    for (;;) {
        for (int i = 0; i < 1024; i++) block[i] = next + i;
        ssize_t sent = send(pair[0], block, sizeof block, 0);
        if (sent < 0) break;
        total += sent;
        next += sent / 4;
        if (sent % 4) break;
    }
    ready();
    CHECK(shutdown(pair[0], SHUT_WR) == 0);
    int got = 0;
    uint32_t value;
    while (recv(pair[1], &value, 4, MSG_WAITALL) == 4) {
        CHECK(value == (uint32_t)got / 4, "at byte %d", got);
        got += 4;
    }
    CHECK(got == total / 4 * 4, "%d of %d bytes", got, total);
}
