/* A terminal with unread lines when a save is refused in its midst: a message with its sender's credentials waits too. */
#include "guest.h"
#include <pty.h>
REFUSED("Control messages in queue")
GUEST {
    int master, slave, pair[2], yes = 1;
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0 && write(master, "line\nend\x04half", 13) == 13);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0 && write(pair[0], "a", 1) == 1);
    ready();
    CHECK(write(master, "way\n", 4) == 4 && reads(slave, "line\n") && reads(slave, "end") && reads(slave, "halfway\n"));
    char text[64] = "";
    ssize_t length = read(master, text, sizeof text - 1);
    CHECK(strcmp(text, "line\r\nendhalfway\r\n") == 0, "%zd bytes were shown: %s", length, text);
}
