/* Multipath TCP is not there, in sessions that run on and in resumed ones: it could not be saved. Programs take TCP. */
#include "inet.h"
static bool absent(void) {
    return socket(AF_INET, SOCK_STREAM, 262) < 0 && (errno == ENOPROTOOPT || errno == EPROTONOSUPPORT);
}
GUEST {
    MUST(absent());
    ready();
    CHECK(absent(), "socket: %s", strerror(errno));
}
