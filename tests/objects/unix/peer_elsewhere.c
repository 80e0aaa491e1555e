/* Which process the peer is, when it is another one. CRIU makes both ends of a connection by one socketpair(2), and the
 * kernel then takes the caller for the peer of both; nothing can change that later. */
#include "guest.h"
KNOWN_LOSS("in a resumed copy the peer of an old connection to another process is told to be the wrong process of that user (SO_PEERCRED)")
static struct sockaddr_un name = {AF_UNIX, "listening"};
static void child(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(connect(fd, (struct sockaddr *)&name, sizeof name) == 0 && write(fd, "x", 1) == 1);
}
GUEST {
    char byte;
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(bind(listening, (struct sockaddr *)&name, sizeof name) == 0 && listen(listening, 4) == 0);
    pid_t pid = make_child(child);
    int fd = accept(listening, NULL, NULL);
    MUST(fd >= 0 && read(fd, &byte, 1) == 1);
    ready();
    struct ucred peer;
    socklen_t length = sizeof peer;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == getuid() && peer.gid == getgid(), "user %u", peer.uid);
    CHECK(peer.pid == pid, "%d instead of %d", peer.pid, pid);
}
