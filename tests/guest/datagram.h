/* Unix datagram sockets with names. */
#ifndef GUEST_DATAGRAM_H
#define GUEST_DATAGRAM_H

#include "guest.h"

/* One that is bound to `path`. */
static inline int bound(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* Takes a message, which has to be `text`, from the socket of the name `from` ("" for none). */
static inline void expect(int fd, const char *text, const char *from) {
    char got[64];
    struct sockaddr_un sender = {0};
    socklen_t length = sizeof sender;
    ssize_t size = recvfrom(fd, got, sizeof got, MSG_DONTWAIT, (struct sockaddr *)&sender, &length);
    CHECK(size == (ssize_t)strlen(text) && memcmp(got, text, size) == 0, "%s came as %.*s", text, (int)size, got);
    CHECK(strcmp(sender.sun_path, from) == 0, "%s came from %s", text, sender.sun_path);
}

#endif
