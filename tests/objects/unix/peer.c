/* Who the peer is (SO_PEERCRED). */
#include "guest.h"
KNOWN_LOSS("in a resumed copy the peer of an old connection is told to be root (SO_PEERCRED)")
GUEST {
    int pair[2], yes = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0);
    ready();
    struct ucred peer;
    socklen_t length = sizeof peer;
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid() && peer.uid == getuid(),
          "pid %d, uid %u", peer.pid, peer.uid);
}
