/* A terminal with unread lines when a save is refused in its midst: something is on its way
 * between two sockets that only the engine finds, after what was typed has been taken. */
#include "guest.h"
#include <linux/landlock.h>
#include <pty.h>
REFUSED("landlock-ruleset")
GUEST {
    int master, slave, pair[2];
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0 && write(master, "line\nend\x04half", 13) == 13);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct landlock_ruleset_attr rules = {.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    union { struct cmsghdr head; char space[CMSG_SPACE(sizeof fd)]; } control = {0};
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    struct iovec byte = {"a", 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    MUST(fd >= 0 && sendmsg(pair[0], &message, 0) == 1 && close(fd) == 0);
    ready();
    CHECK(write(master, "way\n", 4) == 4 && reads(slave, "line\n") && reads(slave, "end") && reads(slave, "halfway\n"));
    char text[64] = "";
    const char *all = "line\r\nendhalfway\r\n";
    ssize_t length = shown(master, text, sizeof text, strlen(all));
    CHECK(strcmp(text, all) == 0, "%zd bytes were shown: %s", length, text);
}
