/* A terminal whose other end is gone reads as ended. */
#include "guest.h"
#include <pty.h>
GUEST {
    int master, slave;
    signal(SIGHUP, SIG_IGN);
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0);
    close(master);
    ready();
    char byte;
    CHECK(read(slave, &byte, 1) == 0);
    CHECK(write(slave, "x", 1) < 0 && errno == EIO);
}
