/* A socket that hears chosen senders of a group only. */
#include "inet.h"
REFUSED("chosen senders")
GUEST {
    int fd = inet_bound(SOCK_DGRAM);
    struct ip_mreq_source join = {.imr_multiaddr.s_addr = htonl(0xef010204), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    join.imr_sourceaddr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &join, sizeof join) == 0);
    ready();
    CHECK(setsockopt(fd, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &join, sizeof join) == 0);
}
