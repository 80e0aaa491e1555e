/* A directory whose changes are told by a signal (F_NOTIFY, the elder of inotify). */
#include "guest.h"
static volatile int heard;
static void handler(int signal) { heard = signal; }
REFUSED("F_NOTIFY")
GUEST {
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    signal(SIGIO, handler);
    MUST(fd >= 0 && fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT) == 0);
    ready();
    heard = 0;
    close(make_file("new", "x"));
    for (int i = 0; i < 400 && !heard; i++) sleep_ms(5);
    CHECK(heard == SIGIO, "no signal comes");
}
