/* Pages of a shared file that were given back (MADV_REMOVE), and of memory that was only reserved (MAP_NORESERVE). */
#include "guest.h"
GUEST {
    size_t huge = (size_t)64 << 30;
    char *reserved = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int fd = memfd_create("holes", 0);
    MUST(reserved != MAP_FAILED && fd >= 0 && ftruncate(fd, 16 * 4096) == 0);
    char *map = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED);
    memset(map, 'x', 16 * 4096);
    MUST(madvise(map + 4096, 4096, MADV_REMOVE) == 0);
    reserved[huge - 1] = 'r';
    ready();
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_blocks == 15 * 8, "%ld blocks", (long)stat.st_blocks);
    CHECK(map[0] == 'x' && map[4096] == 0 && map[2 * 4096] == 'x');
    CHECK(reserved[huge - 1] == 'r' && reserved[huge / 2] == 0);
}
