/* Loopback sockets, for guests. */
#ifndef GUEST_INET_H
#define GUEST_INET_H

#include "guest.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

/* A socket of `type` on a free port of the loopback. */
static inline int inet_bound(int type) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* A new socket of `type`, connected to where `fd` is bound; -1 when that fails. */
static inline int inet_reach(int fd, int type) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) return -1;
    int client = socket(AF_INET, type, 0);
    return connect(client, (struct sockaddr *)&address, length) == 0 ? client : -1;
}

/* A TCP connection: both of its ends. */
static inline void inet_pair(int pair[2]) {
    int listener = inet_bound(SOCK_STREAM);
    MUST(listen(listener, 1) == 0);
    pair[0] = inet_reach(listener, SOCK_STREAM);
    pair[1] = accept(listener, NULL, NULL);
    MUST(pair[0] >= 0 && pair[1] >= 0);
    close(listener);
}

/* Sends numbers without blocking until no more is taken; answers how many bytes that were. */
static inline int inet_fill(int fd) {
    uint32_t block[1024], next = 0;
    int total = 0;
    MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    for (;;) {
        for (int i = 0; i < 1024; i++) block[i] = next + i;
        ssize_t sent = send(fd, block, sizeof block, 0);
        if (sent < 0) break;
        total += sent;
        next += sent / 4;
        if (sent % 4) break;
    }
    return total;
}

/* Takes them, to the end, which has to come after `total` bytes. */
static inline void inet_drain(int fd, int total) {
    int got = 0;
    uint32_t value;
    while (recv(fd, &value, 4, MSG_WAITALL) == 4) {
        CHECK(value == (uint32_t)got / 4, "at byte %d", got);
        got += 4;
    }
    CHECK(got == total / 4 * 4, "%d of %d bytes", got, total);
}

#endif
