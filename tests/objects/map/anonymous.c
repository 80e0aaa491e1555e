/* Anonymous memory, private and shared with a child: the child sees what the parent stores in the shared one only. */
#include "guest.h"
static char *private, *shared;
static void child(void) {
    while (shared[0] != 'P') sleep_ms(5);
    shared[1] = private[0];
    shared[2] = 'C';
}
GUEST {
    private = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(private != MAP_FAILED);
    shared = make_shared(4096);
    memset(private, 'a', 1 << 20);
    make_child(child);
    ready();
    for (int i = 0; i < 1 << 20; i++) CHECK(private[i] == 'a', "at %d", i);
    private[0] = 'b';
    shared[0] = 'P';
    for (int i = 0; i < 1000 && shared[2] != 'C'; i++) sleep_ms(5);
    CHECK(shared[2] == 'C', "the child does not see what is shared");
    CHECK(shared[1] == 'a', "the child sees what is private");
}
