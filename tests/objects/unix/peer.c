/* Who the peer is (SO_PEERCRED, SO_PEERGROUPS): of a pair, and of a socket that listens. */
#include "guest.h"
static bool is_own(int fd) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    gid_t groups[64], peers[64];
    socklen_t size = sizeof peers;
    int count = getgroups(64, groups);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid() && peer.uid == geteuid() &&
           peer.gid == getegid() && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peers, &size) == 0 &&
           size == count * sizeof *groups && memcmp(groups, peers, size) == 0;
}
GUEST {
    struct sockaddr_un name = {AF_UNIX, "listening"};
    int pair[2], yes = 1, listening = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0);
    MUST(bind(listening, (struct sockaddr *)&name, sizeof name) == 0 && listen(listening, 4) == 0);
    ready();
    CHECK(is_own(pair[0]) && is_own(pair[1]), "of a pair");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
    CHECK(is_own(fd), "of what listens");
}
