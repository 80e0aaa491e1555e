/* A descriptor that only names a file (O_PATH), and one that names a symbolic link. */
#include "guest.h"
GUEST {
    close(make_file("file", "text"));
    int fd = open("file", O_PATH);
    MUST(fd >= 0);
    ready();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(file_holds(path, "text"));
    char byte;
    CHECK(read(fd, &byte, 1) < 0 && errno == EBADF);
}
