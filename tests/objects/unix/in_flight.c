/* A descriptor that was sent and not received yet, whose sender has closed it. */
#include "guest.h"
GUEST {
    int pair[2], pipes[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipes) == 0 && write(pipes[1], "piped", 5) == 5);
    union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
    struct iovec text = {"x", 1};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &pipes[0], sizeof(int));
    MUST(sendmsg(pair[0], &message, 0) == 1);
    close(pipes[0]);
    ready();
    char byte;
    memset(&control, 0, sizeof control);
    text.iov_base = &byte;
    message.msg_controllen = sizeof control;
    CHECK(recvmsg(pair[1], &message, 0) == 1 && byte == 'x');
    CHECK(control.head.cmsg_type == SCM_RIGHTS, "there is no descriptor");
    int fd;
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    CHECK(reads(fd, "piped"));
}
