/* A parent that waits in vfork(2) for its child, which shares its memory. */
#include "guest.h"
#include <linux/sched.h>
static volatile int go, seen;
static void *watch(void *unused) {
    ready();
    go = 1;
    return unused;
}
static char stack[65536] __attribute__((aligned(16)));
static int child(void *unused) {
    (void)unused;
    while (!go) sleep_ms(5);
    seen = 7;
    _exit(3);
}
REFUSED("cannot be stopped")
GUEST {
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, watch, NULL) == 0);
    pid_t pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    int status;
    CHECK(pid > 0 && go == 1, "the parent did not wait");
    pthread_join(thread, NULL);
    CHECK(seen == 7, "the memory is not shared");
    CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}
