/* A connection of MPTCP. */
#include "inet.h"
REFUSED("protocol")
GUEST {
    int fd = socket(AF_INET, SOCK_STREAM, 262);
    MUST(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 3) == 0);
    ready();
    int protocol = 0;
    socklen_t length = sizeof protocol;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 && protocol == 262);
}
