/* Options of sockets of all families. */
#include "inet.h"
#include <linux/netlink.h>
static int get(int fd, int level, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    getsockopt(fd, level, option, &value, &length);
    return value;
}
GUEST {
    enum { UDP4, UDP6, TCP4, TCP6, ROUTE, STREAM, KINDS };
    static const struct { const char *name; int kind, level, option, value; } all[] = {
#define OPTION(kind, level, option, value) {#kind " " #option, kind, level, option, value}
        OPTION(UDP4, IPPROTO_IP, IP_TTL, 17), OPTION(UDP4, IPPROTO_IP, IP_TOS, 0x10),
        OPTION(UDP4, IPPROTO_IP, IP_MULTICAST_TTL, 5), OPTION(UDP4, IPPROTO_IP, IP_MULTICAST_LOOP, 0),
        OPTION(UDP4, IPPROTO_IP, IP_MULTICAST_ALL, 0), OPTION(UDP4, IPPROTO_IP, IP_PKTINFO, 1),
        OPTION(UDP4, IPPROTO_IP, IP_RECVTTL, 1), OPTION(UDP4, IPPROTO_IP, IP_RECVTOS, 1),
        OPTION(UDP4, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO), OPTION(UDP4, IPPROTO_IP, IP_RECVERR, 1),
        OPTION(UDP4, IPPROTO_IP, IP_FREEBIND, 1), OPTION(UDP4, IPPROTO_IP, IP_MULTICAST_IF, 0x0100007f),
        OPTION(UDP4, SOL_SOCKET, SO_BROADCAST, 1), OPTION(UDP4, SOL_SOCKET, SO_REUSEADDR, 1),
        OPTION(UDP4, SOL_SOCKET, SO_TIMESTAMP, 1), OPTION(UDP4, SOL_SOCKET, SO_PRIORITY, 4),
        OPTION(UDP4, SOL_SOCKET, SO_RCVLOWAT, 3), OPTION(UDP4, SOL_SOCKET, SO_DONTROUTE, 1),
        OPTION(UDP4, SOL_SOCKET, SO_NO_CHECK, 1), OPTION(UDP4, SOL_SOCKET, SO_RXQ_OVFL, 1),
        OPTION(UDP4, SOL_SOCKET, SO_KEEPALIVE, 1),
        OPTION(UDP6, IPPROTO_IPV6, IPV6_V6ONLY, 1), OPTION(UDP6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9),
        OPTION(UDP6, IPPROTO_IPV6, IPV6_TCLASS, 0x20), OPTION(UDP6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 3),
        OPTION(UDP6, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0), OPTION(UDP6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1),
        OPTION(UDP6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1), OPTION(UDP6, IPPROTO_IPV6, IPV6_RECVTCLASS, 1),
        OPTION(UDP6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO), OPTION(UDP6, IPPROTO_IPV6, IPV6_RECVERR, 1),
        OPTION(UDP6, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1),
        OPTION(TCP4, IPPROTO_TCP, TCP_NODELAY, 1), OPTION(TCP4, IPPROTO_TCP, TCP_KEEPIDLE, 77),
        OPTION(TCP4, IPPROTO_TCP, TCP_KEEPINTVL, 7), OPTION(TCP4, IPPROTO_TCP, TCP_KEEPCNT, 3),
        OPTION(TCP4, IPPROTO_TCP, TCP_USER_TIMEOUT, 4711), OPTION(TCP4, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384),
        OPTION(TCP4, IPPROTO_TCP, TCP_SYNCNT, 3), OPTION(TCP4, IPPROTO_IP, IP_TOS, 0x08),
        OPTION(TCP4, SOL_SOCKET, SO_OOBINLINE, 1), OPTION(TCP4, SOL_SOCKET, SO_KEEPALIVE, 1),
        OPTION(TCP6, IPPROTO_TCP, TCP_NODELAY, 1), OPTION(TCP6, IPPROTO_TCP, TCP_LINGER2, 9),
        OPTION(TCP6, IPPROTO_IPV6, IPV6_TCLASS, 0x20), OPTION(TCP6, SOL_SOCKET, SO_REUSEPORT, 1),
        OPTION(ROUTE, SOL_NETLINK, NETLINK_PKTINFO, 1), OPTION(ROUTE, SOL_NETLINK, NETLINK_EXT_ACK, 1),
        OPTION(ROUTE, SOL_NETLINK, NETLINK_CAP_ACK, 1), OPTION(ROUTE, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1),
        OPTION(STREAM, SOL_SOCKET, SO_PASSCRED, 1), OPTION(STREAM, SOL_SOCKET, SO_PEEK_OFF, 0),
        OPTION(STREAM, SOL_SOCKET, SO_TIMESTAMP, 1), OPTION(STREAM, SOL_SOCKET, SO_RCVLOWAT, 3),
    };
    int fds[KINDS] = {inet_bound(SOCK_DGRAM), socket(AF_INET6, SOCK_DGRAM, 0), inet_bound(SOCK_STREAM),
                      socket(AF_INET6, SOCK_STREAM, 0), socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), -1};
    int pair[2];
    MUST(listen(fds[TCP4], 1) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    fds[STREAM] = pair[0];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (setsockopt(fds[all[i].kind], all[i].level, all[i].option, &all[i].value, sizeof(int)) != 0) {
            printf("# %s\n", all[i].name);
            MUST(!"the option can be set");
        }
        MUST(get(fds[all[i].kind], all[i].level, all[i].option) == all[i].value);
    }
    ready();
    char lost[2048] = "";
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int value = get(fds[all[i].kind], all[i].level, all[i].option);
        if (value != all[i].value) sprintf(lost + strlen(lost), " %s (%d)", all[i].name, value);
    }
    CHECK(!*lost, "lost:%s", lost);
}
