/* One process with a thousand threads. */
#include "guest.h"
ALONE
static volatile bool go;
static volatile int wrong;
static void *play(void *number) {
    pid_t own = gettid();
    int local = (int)(intptr_t)number;
    while (!go) sleep_ms(500);
    if (gettid() != own || local != (int)(intptr_t)number) __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
    return number;
}
GUEST {
    enum { COUNT = 1000 };
    static pthread_t threads[COUNT];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int i = 0; i < COUNT; i++) MUST(pthread_create(&threads[i], &small, play, (void *)(intptr_t)i) == 0);
    ready();
    go = true;
    for (int i = 0; i < COUNT; i++) {
        void *back;
        CHECK(pthread_join(threads[i], &back) == 0 && back == (void *)(intptr_t)i, "number %d", i);
    }
    CHECK(wrong == 0, "%d", wrong);
}
