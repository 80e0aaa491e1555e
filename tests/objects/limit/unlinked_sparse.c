/* An unlinked file of 5 GiB, larger than 32 bits can tell, nearly all hole. */
#include "guest.h"
ALONE
GUEST {
    const off_t size = 5L << 30;
    int fd = make_file("file", "begin");
    MUST(unlink("file") == 0 && pwrite(fd, "end", 3, size - 3) == 3);
    ready();
    char text[5];
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_size == size && stat.st_blocks < 1000, "%ld blocks", (long)stat.st_blocks);
    CHECK(pread(fd, text, 5, 0) == 5 && memcmp(text, "begin", 5) == 0);
    CHECK(pread(fd, text, 3, size - 3) == 3 && memcmp(text, "end", 3) == 0);
}
