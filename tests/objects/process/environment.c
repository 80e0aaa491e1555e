/* Environment, command line and executable, as /proc shows them. */
#include "guest.h"
static void read_all(const char *path, char *to, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, to, size - 1);
    to[length < 0 ? 0 : length] = 0;
    close(fd);
    for (ssize_t i = 0; i < length - 1; i++) if (!to[i]) to[i] = '|';
}
GUEST {
    char before[3][8192], after[3][8192];
    read_all("/proc/self/environ", before[0], 8192);
    read_all("/proc/self/cmdline", before[1], 8192);
    MUST(readlink("/proc/self/exe", memset(before[2], 0, 8192), 8191) > 0);
    MUST(setenv("GUEST", "set at run time", 1) == 0 && *before[0] && *before[1]);
    ready();
    read_all("/proc/self/environ", after[0], 8192);
    read_all("/proc/self/cmdline", after[1], 8192);
    CHECK(strcmp(before[0], after[0]) == 0, "environ");
    CHECK(strcmp(before[1], after[1]) == 0, "cmdline");
    CHECK(readlink("/proc/self/exe", memset(after[2], 0, 8192), 8191) > 0 && strcmp(before[2], after[2]) == 0, "%s", after[2]);
    CHECK(strcmp(getenv("GUEST"), "set at run time") == 0);
}
