/* Files of /proc and /sys that are open, of its own and of another process. */
#include "guest.h"
static void child(void) {}
GUEST {
    char path[64], text[4096];
    pid_t pid = make_child(child);
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int status = open(path, O_RDONLY), maps = open("/proc/self/maps", O_RDONLY), net = open("/proc/net/tcp", O_RDONLY);
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY), sys = open("/sys/class/net", O_RDONLY | O_DIRECTORY);
    int random = open("/dev/urandom", O_RDONLY), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_WRONLY);
    MUST(status >= 0 && maps >= 0 && net >= 0 && directory >= 0 && sys >= 0 && random >= 0 && zero >= 0 && full >= 0);
    ready();
    CHECK(read(status, text, sizeof text) > 0 && read(maps, text, sizeof text) > 0 && read(net, text, 20) > 0);
    CHECK(read(random, text, 8) == 8 && read(zero, text, 8) == 8 && text[0] == 0);
    CHECK(write(full, "x", 1) == -1 && errno == ENOSPC);
}
