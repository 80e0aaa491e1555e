/* The execution domain of a program that may not set it any more (seccomp(2)), is in the midst of a call and has a signal waiting. */
#include "guest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
static volatile sig_atomic_t called;
static void handler(int signal) { (void)signal, called++; }
GUEST {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    signal(SIGUSR1, handler);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGUSR1) == 0);
    MUST(personality(ADDR_NO_RANDOMIZE) >= 0);
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    ready();
    CHECK(strtoul(proc_value(getpid(), "status", "Seccomp"), NULL, 10) == 2);
    FILE *file = fopen("/proc/self/personality", "r");
    char text[16] = "";
    CHECK(file && fgets(text, sizeof text, file) && strtoul(text, NULL, 16) == ADDR_NO_RANDOMIZE, "%s", text);
    CHECK(called == 0, "a signal came");
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && called == 1, "%d signals came", called);
}
