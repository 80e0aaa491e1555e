/* Four gibibytes of memory, every page of it touched, each with something of its own in it. */
#include "guest.h"
ALONE
GUEST {
    const size_t size = 4UL << 30;
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(map != MAP_FAILED);
    for (size_t at = 0; at < size; at += 4096) *(uint64_t *)(map + at) = at * 0x9E3779B97F4A7C15u + 1;
    ready();
    for (size_t at = 0; at < size; at += 4096)
        CHECK(*(uint64_t *)(map + at) == at * 0x9E3779B97F4A7C15u + 1, "at %#zx", at);
}
