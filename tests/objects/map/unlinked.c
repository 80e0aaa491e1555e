/* Mappings of files that have lost their names, one of them not open any more, shared between two processes. */
#include "guest.h"
ON_TMPFS_TOO
static char *map;
static void child(void) {
    while (map[0] != 'P') sleep_ms(5);
    map[1] = 'C';
}
GUEST {
    int fd = make_file("file", "");
    MUST(ftruncate(fd, 4096) == 0);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    MUST(map != MAP_FAILED && private != MAP_FAILED && unlink("file") == 0);
    close(fd);
    memcpy(map + 10, "shared", 6);
    private[2000] = 'p';
    make_child(child);
    ready();
    CHECK(memcmp(map + 10, "shared", 6) == 0 && private[2000] == 'p' && map[2000] == 0);
    map[0] = 'P';
    for (int i = 0; i < 1000 && map[1] != 'C'; i++) sleep_ms(5);
    CHECK(map[1] == 'C', "the two processes have parted");
    CHECK(access("file", F_OK) != 0);
}
