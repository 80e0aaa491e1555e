/* The execution domain (personality(2)), which each thread has for itself. */
#include "guest.h"
#include <sys/personality.h>
#include <sys/utsname.h>
static const int domains[] = {PER_LINUX32 | ADDR_COMPAT_LAYOUT, READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE, PER_BSD, 0};
static volatile int made, checks, wrong;
static void *thread(void *of) {
    int domain = *(const int *)of;
    MUST(personality(domain) >= 0);
    __sync_fetch_and_add(&made, 1);
    while (!checks) sleep_ms(1);
    if (personality(0xffffffff) != domain) wrong = 1;
    return NULL;
}
GUEST {
    struct utsname name;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)&domains[i]) == 0);
    while (made < 4) sleep_ms(1);
    MUST(personality(ADDR_NO_RANDOMIZE | UNAME26) >= 0);
    ready();
    CHECK(personality(0xffffffff) == (ADDR_NO_RANDOMIZE | UNAME26), "%#x", personality(0xffffffff));
    CHECK(uname(&name) == 0 && strncmp(name.release, "2.6.", 4) == 0, "%s", name.release);
    checks = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    CHECK(!wrong, "of a thread");
}
