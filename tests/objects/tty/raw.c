/* A pseudo-terminal in raw mode with unread input, and odd settings. */
#include "guest.h"
#include <pty.h>
#include <termios.h>
GUEST {
    int master, slave;
    struct termios settings, back;
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0 && tcgetattr(slave, &settings) == 0);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 3;
    settings.c_cc[VTIME] = 1;
    settings.c_cc[VINTR] = 5;
    MUST(tcsetattr(slave, TCSANOW, &settings) == 0 && write(master, "raw\x03\x00\xff", 6) == 6);
    sleep_ms(10);
    ready();
    char text[16];
    CHECK(tcgetattr(slave, &back) == 0 && back.c_lflag == settings.c_lflag && back.c_iflag == settings.c_iflag);
    CHECK(memcmp(back.c_cc, settings.c_cc, NCCS) == 0, "control characters");
    CHECK(read(slave, text, sizeof text) == 6 && memcmp(text, "raw\x03\x00\xff", 6) == 0);
    CHECK(write(slave, "\n", 1) == 1 && reads(master, "\n"), "output is processed");
}
