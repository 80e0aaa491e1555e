/* Options of a UDP socket. */
#include "inet.h"
static int get(int fd, int level, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    getsockopt(fd, level, option, &value, &length);
    return value;
}
GUEST {
    static const struct { const char *name; int level, option, value; } all[] = {
        {"IP_TTL", IPPROTO_IP, IP_TTL, 17}, {"IP_TOS", IPPROTO_IP, IP_TOS, 0x10},
        {"IP_MULTICAST_TTL", IPPROTO_IP, IP_MULTICAST_TTL, 5}, {"IP_MULTICAST_LOOP", IPPROTO_IP, IP_MULTICAST_LOOP, 0},
        {"IP_PKTINFO", IPPROTO_IP, IP_PKTINFO, 1}, {"IP_RECVTTL", IPPROTO_IP, IP_RECVTTL, 1},
        {"IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO}, {"IP_RECVERR", IPPROTO_IP, IP_RECVERR, 1},
        {"IP_FREEBIND", IPPROTO_IP, IP_FREEBIND, 1},
        {"SO_BROADCAST", SOL_SOCKET, SO_BROADCAST, 1}, {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1},
        {"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 1}, {"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 4},
        {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 3}, {"SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE, 1},
    };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        MUST(setsockopt(fd, all[i].level, all[i].option, &all[i].value, sizeof(int)) == 0);
        MUST(get(fd, all[i].level, all[i].option) == all[i].value);
    }
    ready();
    char lost[512] = "";
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (get(fd, all[i].level, all[i].option) != all[i].value) strcat(strcat(lost, " "), all[i].name);
    CHECK(!*lost, "lost:%s", lost);
}
