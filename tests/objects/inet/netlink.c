/* A netlink socket still answers. */
#include "guest.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
GUEST {
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ready();
    struct { struct nlmsghdr head; struct ifinfomsg body; } ask = {
        {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}, {0}};
    char answer[16384];
    CHECK(send(fd, &ask, sizeof ask, 0) == sizeof ask);
    CHECK(recv(fd, answer, sizeof answer, 0) > 0 && ((struct nlmsghdr *)answer)->nlmsg_type == RTM_NEWLINK);
    socklen_t length = sizeof address;
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.nl_groups == RTMGRP_LINK, "groups %u", address.nl_groups);
}
