/* A shared mapping of a file: what is stored is in the file, and what is written to the file is in the mapping. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = make_file("file", "");
    MUST(ftruncate(fd, 8192) == 0);
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED);
    memcpy(map, "stored", 6);
    ready();
    char text[6];
    CHECK(memcmp(map, "stored", 6) == 0);
    CHECK(pread(fd, text, 6, 0) == 6 && memcmp(text, "stored", 6) == 0);
    memcpy(map + 4096, "again", 5);
    CHECK(pread(fd, text, 5, 4096) == 5 && memcmp(text, "again", 5) == 0);
    CHECK(pwrite(fd, "written", 7, 100) == 7 && memcmp(map + 100, "written", 7) == 0);
}
