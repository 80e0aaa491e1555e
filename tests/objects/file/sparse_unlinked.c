/* An unlinked file of a gigabyte that is nearly all hole stays so. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = make_file("file", "begin");
    MUST(unlink("file") == 0);
    MUST(pwrite(fd, "middle", 6, 500000000) == 6 && pwrite(fd, "end", 3, 1000000000) == 3);
    ready();
    char text[6];
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_size == 1000000003);
    CHECK(stat.st_blocks < 1000, "%ld blocks", (long)stat.st_blocks);
    CHECK(pread(fd, text, 5, 0) == 5 && memcmp(text, "begin", 5) == 0);
    CHECK(pread(fd, text, 6, 500000000) == 6 && memcmp(text, "middle", 6) == 0);
    CHECK(pread(fd, text, 3, 1000000000) == 3 && memcmp(text, "end", 3) == 0);
}
