/* A pseudo-terminal, in canonical mode, with a whole line of unread input and one that is not finished, and with output. */
#include "guest.h"
#include <pty.h>
GUEST {
    int master, slave;
    struct winsize size = {33, 99, 0, 0};
    MUST(openpty(&master, &slave, NULL, NULL, &size) == 0);
    MUST(write(master, "line\nhalf", 9) == 9 && write(slave, "out", 3) == 3);
    ready();
    char line[64] = "";
    ssize_t got = read(slave, line, sizeof line - 1);
    CHECK(got == 5 && strcmp(line, "line\n") == 0, "the line is %zd bytes: %s", got, line);
    CHECK(write(master, "way\n", 4) == 4 && reads(slave, "halfway\n"));
    char text[256] = "";
    ssize_t length = shown(master, text, sizeof text, strlen("line\r\nhalfoutway\r\n"));
    CHECK(length > 0 && strstr(text, "out"), "the output is %.*s", (int)length, text);
    struct winsize back;
    CHECK(ioctl(slave, TIOCGWINSZ, &back) == 0 && back.ws_row == 33 && back.ws_col == 99);
}
