/* A socket that has joined a group hears what is sent to it. */
#include "inet.h"
GUEST {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct ip_mreq join = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    MUST(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    MUST(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) == 0);
    ready();
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    CHECK(setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback) == 0);
    address.sin_addr = join.imr_multiaddr;
    CHECK(sendto(from, "x", 1, 0, (struct sockaddr *)&address, sizeof address) == 1);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    CHECK(poll(&poll_fd, 1, 2000) == 1, "nothing comes");
}
