/* A terminal with an unfinished line, on which a program waits for the rest: it gets the whole, and nothing is shown twice. */
#include "guest.h"
#include <pty.h>
static int master, slave;
static char *line;
static volatile int *got;
static void child(void) {
    *got = read(slave, line, 64);
    pause();
}
GUEST {
    line = make_shared(4096), got = make_shared(4096);
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0);
    pid_t reader = make_child(child);
    MUST(write(master, "hal\x16\x03" "d\x7f" "f", 8) == 8);
    sleep_ms(20);
    ready();
    CHECK(*got == 0, "the reader woke up");
    CHECK(write(master, "way\n", 4) == 4);
    for (int i = 0; i < 1000 && !*got; i++) sleep_ms(5);
    CHECK(*got == 9 && memcmp(line, "hal\x03" "fway\n", 9) == 0, "the line is %d bytes: %s", *got, line);
    char text[64] = "";
    const char *all = "hal^\b^Cd\b \bfway\r\n";
    ssize_t length = shown(master, text, sizeof text, strlen(all));
    CHECK(strcmp(text, all) == 0, "%zd bytes were shown: %s", length, text);
    kill(reader, SIGKILL);
}
