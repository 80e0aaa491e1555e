/* A terminal with a line of input that is not finished. */
#include "guest.h"
#include <pty.h>
GUEST {
    int master, slave;
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0 && write(master, "half", 4) == 4);
    ready();
    char line[64] = "";
    CHECK(write(master, "way\n", 4) == 4);
    ssize_t got = read(slave, line, sizeof line - 1);
    CHECK(got == 8 && strcmp(line, "halfway\n") == 0, "the line is %zd bytes: %s", got, line);
}
