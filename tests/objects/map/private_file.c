/* A private mapping of a file: pages that were written to, pages that were not, and the file beneath as it was. */
#include "guest.h"
GUEST {
    int fd = make_file("file", "");
    MUST(ftruncate(fd, 3 * 4096) == 0 && pwrite(fd, "file", 4, 0) == 4 && pwrite(fd, "file", 4, 4096) == 4);
    char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    MUST(map != MAP_FAILED);
    memcpy(map, "mine", 4);
    ready();
    CHECK(memcmp(map, "mine", 4) == 0);
    CHECK(memcmp(map + 4096, "file", 4) == 0);
    char text[4];
    CHECK(pread(fd, text, 4, 0) == 4 && memcmp(text, "file", 4) == 0, "the file was written to");
    CHECK(pwrite(fd, "FILE", 4, 8192) == 4 && memcmp(map + 8192, "FILE", 4) == 0, "an untouched page is not the file's");
}
