/* Pages that may not be read, written or run, a guard page among them. */
#include "guest.h"
#include <setjmp.h>
static sigjmp_buf back;
static void fault(int signal) { siglongjmp(back, signal); }
static bool faults(volatile char *at, bool write) {
    if (sigsetjmp(back, 1)) return true;
    if (write) *at = 1; else (void)*at;
    return false;
}
GUEST {
    char *map = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(map != MAP_FAILED);
    memset(map, 'x', 5 * 4096);
    map[4096] = (char)0xc3; /* ret */
    MUST(mprotect(map, 4096, PROT_READ) == 0 && mprotect(map + 4096, 4096, PROT_READ | PROT_EXEC) == 0);
    MUST(mprotect(map + 2 * 4096, 4096, PROT_NONE) == 0);
    signal(SIGSEGV, fault);
    ready();
    CHECK(map[0] == 'x' && faults(map, true));
#ifdef __x86_64__
    ((void (*)(void))(uintptr_t)(map + 4096))();
#endif
    CHECK(faults(map + 4096, true));
    CHECK(faults(map + 2 * 4096, false) && faults(map + 2 * 4096, true));
    CHECK(map[3 * 4096] == 'x' && !faults(map + 3 * 4096, true));
    CHECK(mprotect(map + 2 * 4096, 4096, PROT_READ) == 0 && map[2 * 4096] == 'x', "what the guard page held");
}
