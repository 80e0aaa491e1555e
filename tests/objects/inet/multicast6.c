/* A socket of IPv6 stays in a group that it has joined: who is in none cannot leave it. */
#include "inet.h"
GUEST {
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    struct ipv6_mreq join = {.ipv6mr_interface = 1};
    memcpy(&join.ipv6mr_multiaddr, "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\x47\x11", 16);
    MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &join, sizeof join) == 0);
    ready();
    CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &join, sizeof join) == 0, "it is in none");
}
