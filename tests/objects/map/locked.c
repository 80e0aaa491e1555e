/* Locked memory stays locked, advice stays given. */
#include "guest.h"
static bool has_flag(const char *flag, void *address) {
    char line[1024], start[32];
    snprintf(start, sizeof start, "%lx-", (unsigned long)address);
    FILE *maps = fopen("/proc/self/smaps", "re");
    bool here = false, found = false;
    while (fgets(line, sizeof line, maps)) {
        if (strchr(line, '-') && strstr(line, start) == line) here = true;
        if (here && strncmp(line, "VmFlags:", 8) == 0) {
            found = strstr(line, flag) != NULL;
            break;
        }
    }
    fclose(maps);
    return found;
}
static char *make(int advice) {
    char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(map != MAP_FAILED && mprotect(map, 4096, PROT_NONE) == 0 && mprotect(map + 2 * 4096, 4096, PROT_NONE) == 0);
    if (advice) MUST(madvise(map + 4096, 4096, advice) == 0);
    return map + 4096;
}
GUEST {
    char *locked = make(0), *huge = make(MADV_HUGEPAGE), *dump = make(MADV_DONTDUMP);
    char *fork = make(MADV_DONTFORK), *wipe = make(MADV_WIPEONFORK);
    MUST(mlock(locked, 4096) == 0);
    locked[0] = huge[0] = dump[0] = fork[0] = wipe[0] = 1;
    MUST(has_flag(" lo", locked) && has_flag(" hg", huge) && has_flag(" dd", dump));
    MUST(has_flag(" dc", fork) && has_flag(" wf", wipe));
    ready();
    CHECK(locked[0] && huge[0] && dump[0] && fork[0] && wipe[0]);
    CHECK(has_flag(" lo", locked), "mlock");
    CHECK(has_flag(" hg", huge), "MADV_HUGEPAGE");
    CHECK(has_flag(" dd", dump), "MADV_DONTDUMP");
    CHECK(has_flag(" dc", fork), "MADV_DONTFORK");
    CHECK(has_flag(" wf", wipe), "MADV_WIPEONFORK");
}
