/* A parent and its child share the offset of a file that was open when they parted. */
#include "guest.h"
GUEST {
    int fd = make_file("file", "0123456789");
    int go[2], told[2];
    MUST(pipe(go) == 0 && pipe(told) == 0);
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        char byte;
        if (read(go[0], &byte, 1) != 1) _exit(1);
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (write(told[1], &at, sizeof at) != sizeof at) _exit(1);
        _exit(0);
    }
    ready();
    CHECK(lseek(fd, 7, SEEK_SET) == 7);
    off_t at = -1;
    CHECK(write(go[1], "x", 1) == 1 && read(told[0], &at, sizeof at) == sizeof at);
    CHECK(at == 7, "the child is at %ld", (long)at);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}
