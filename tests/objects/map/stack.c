/* A stack that has grown, and one that grows on (MAP_GROWSDOWN). */
#include "guest.h"
static int deep(int levels) {
    volatile char frame[8192];
    frame[0] = (char)levels;
    int below = levels ? deep(levels - 1) : (ready(), 0);
    return frame[0] == (char)levels ? below + 1 : -100000;
}
static int more(int levels) {
    volatile char frame[8192];
    frame[0] = 1;
    return levels ? more(levels - 1) + frame[0] : 0;
}
GUEST {
    char *map = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    MUST(map != MAP_FAILED);
    map[0] = 's';
    CHECK(deep(100) == 101);
    CHECK(more(300) == 300);
    CHECK(map[0] == 's');
}
