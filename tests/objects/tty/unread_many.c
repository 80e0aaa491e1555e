/* A terminal with more lines than can be typed again for certain. */
#include "guest.h"
#include <pty.h>
REFUSED("many lines that were typed")
GUEST {
    int master, slave;
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0);
    for (int i = 0; i < 350; i++) MUST(write(master, "123456789\n", 10) == 10);
    sleep_ms(20);
    ready();
    for (int i = 0; i < 350; i++) CHECK(reads(slave, "123456789\n"), "line %d", i);
}
