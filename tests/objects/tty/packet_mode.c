/* A master in packet mode (TIOCPKT), and an exclusive slave. */
#include "guest.h"
#include <pty.h>
GUEST {
    int master, slave, yes = 1;
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0 && ioctl(master, TIOCPKT, &yes) == 0);
    ready();
    char text[16];
    CHECK(ioctl(master, TIOCGPKT, &yes) == 0 && yes == 1, "packet mode");
    CHECK(write(slave, "x", 1) == 1 && read(master, text, sizeof text) == 2 && text[0] == TIOCPKT_DATA && text[1] == 'x');
}
