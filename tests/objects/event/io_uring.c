/* io_uring is not there, in sessions that run on and in resumed ones: it could not be saved. Programs do without it. */
#include "guest.h"
#include <linux/io_uring.h>
static bool absent(void) {
    struct io_uring_params parameters = {0};
    return syscall(SYS_io_uring_setup, 8, &parameters) < 0 && errno == ENOSYS;
}
GUEST {
    MUST(absent());
    ready();
    CHECK(absent(), "io_uring_setup: %s", strerror(errno));
    CHECK(prctl(PR_GET_SECCOMP) == 2);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "sudo would not work");
}
