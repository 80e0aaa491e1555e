/* A seccomp filter still refuses what it refused, and so does the session's under it. */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
GUEST {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 99),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    ready();
    CHECK(getpgid(0) < 0 && errno == 99);
    CHECK(syscall(SYS_io_uring_setup, 8, NULL) < 0 && errno == ENOSYS);
    CHECK(prctl(PR_GET_SECCOMP) == 2);
}
