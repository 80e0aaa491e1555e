/* A listening socket whose name was removed, and one whose name another has now. */
#include "guest.h"
static int listening(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 3) == 0);
    return fd;
}
static int reach(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}
GUEST {
    int old = listening();
    int of_old = reach(), at_old = accept(old, NULL, NULL);
    MUST(of_old >= 0 && at_old >= 0 && unlink("s") == 0);
    int new = listening();
    ready();
    CHECK(write(of_old, "x", 1) == 1 && reads(at_old, "x"), "the connection");
    int client = reach();
    CHECK(client >= 0, "nobody listens");
    struct pollfd both[2] = {{.fd = old, .events = POLLIN}, {.fd = new, .events = POLLIN}};
    CHECK(poll(both, 2, 2000) == 1 && both[1].revents == POLLIN, "the other got it");
}
