/* A pidfd of a child becomes readable when that has ended. */
#include "guest.h"
static void child(void) {}
GUEST {
    pid_t pid = make_child(child);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    MUST(fd >= 0);
    ready();
    struct pollfd ended = {fd, POLLIN, 0};
    CHECK(poll(&ended, 1, 0) == 0, "it says that the child has ended");
    CHECK(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0);
    CHECK(poll(&ended, 1, 10000) == 1);
    siginfo_t info;
    CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == SIGKILL);
}
