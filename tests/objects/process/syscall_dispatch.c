/* System calls that a program handles itself (PR_SET_SYSCALL_USER_DISPATCH; Wine does). */
#include "guest.h"
#include <sys/prctl.h>
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
static volatile char selector;
static volatile int caught;
static void handler(int signal) {
    selector = 0;
    caught = signal;
}
REFUSED("PR_SET_SYSCALL_USER_DISPATCH")
GUEST {
    signal(SIGSYS, handler);
    MUST(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) == 0);
    ready();
    selector = 1;
    syscall(SYS_getppid);
    selector = 0;
    CHECK(caught == SIGSYS, "no signal comes");
}
