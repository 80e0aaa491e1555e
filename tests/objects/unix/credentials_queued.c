/* A queued message that carries its sender's credentials (SO_PASSCRED). */
#include "guest.h"
REFUSED("messages with credentials")
GUEST {
    int pair[2], yes = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0 && write(pair[0], "a", 1) == 1);
    ready();
    struct ucred peer;
    char byte;
    union { struct cmsghdr head; char space[CMSG_SPACE(sizeof peer)]; } control = {0};
    struct iovec text = {&byte, 1};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    CHECK(recvmsg(pair[1], &message, 0) == 1 && control.head.cmsg_type == SCM_CREDENTIALS);
    memcpy(&peer, CMSG_DATA(&control.head), sizeof peer);
    CHECK(peer.pid == getpid() && peer.uid == getuid(), "message of pid %d, uid %u", peer.pid, peer.uid);
}
