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

#endif
