/* An unlinked file of 300 MB without a hole. */
#include "guest.h"
ALONE
GUEST {
    static uint64_t block[131072];
    int fd = make_file("file", "");
    MUST(unlink("file") == 0);
    for (int i = 0; i < 300; i++) {
        for (int j = 0; j < 131072; j++) block[j] = (uint64_t)i << 32 | j;
        MUST(write(fd, block, sizeof block) == sizeof block);
    }
    ready();
    for (int i = 0; i < 300; i++) {
        CHECK(pread(fd, block, sizeof block, (off_t)i * sizeof block) == sizeof block, "MB %d", i);
        for (int j = 0; j < 131072; j++) CHECK(block[j] == ((uint64_t)i << 32 | j), "MB %d, word %d", i, j);
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == 300L * sizeof block);
}
