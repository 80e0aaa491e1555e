/* What the parent of a stopped child has not yet heard waits for it, once: a child with threads, stopped from its terminal. */
#include "guest.h"
static volatile int *started;
static _Noreturn void *thread(void *unused) {
    (void)unused;
    __sync_fetch_and_add(started, 1);
    for (;;) sleep_ms(1);
}
static void child(void) {
    pthread_t id;
    /* Of its own group, or the signal would stop nobody. */
    MUST(setpgid(0, 0) == 0);
    for (int i = 0; i < 3; i++) pthread_create(&id, NULL, thread, NULL);
    for (;;) sleep_ms(1);
}
GUEST {
    siginfo_t told;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    started = make_shared(4096);
    pid_t pid = make_child(child);
    while (*started < 3) sleep_ms(1);
    MUST(kill(pid, SIGTSTP) == 0 && waitid(P_PID, pid, &told, WSTOPPED | WNOWAIT) == 0);
    /* The signal is heard, the child is not waited for. */
    MUST(sigwaitinfo(&set, &told) == SIGCHLD && told.si_code == CLD_STOPPED);
    ready();
    struct timespec none = {0};
    CHECK(sigtimedwait(&set, &told, &none) == -1 && errno == EAGAIN, "the signal came again");
    told.si_pid = 0;
    CHECK(waitid(P_PID, pid, &told, WSTOPPED | WNOHANG) == 0 && told.si_pid == pid, "not told");
    CHECK(told.si_code == CLD_STOPPED && told.si_status == SIGTSTP, "by %d", told.si_status);
    told.si_pid = 0;
    CHECK(waitid(P_PID, pid, &told, WSTOPPED | WNOHANG) == 0 && told.si_pid == 0, "told again");
    CHECK(kill(pid, SIGCONT) == 0 && waitid(P_PID, pid, &told, WCONTINUED) == 0 && told.si_code == CLD_CONTINUED);
    kill(pid, SIGKILL);
}
