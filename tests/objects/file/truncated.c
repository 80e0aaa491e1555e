/* An offset beyond the end of a file that was truncated. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = make_file("file", "0123456789");
    MUST(ftruncate(fd, 3) == 0);
    ready();
    CHECK(lseek(fd, 0, SEEK_CUR) == 10);
    CHECK(write(fd, "x", 1) == 1);
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_size == 11);
    char text[11];
    CHECK(pread(fd, text, 11, 0) == 11 && memcmp(text, "012\0\0\0\0\0\0\0x", 11) == 0);
}
