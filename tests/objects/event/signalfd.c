/* A signalfd with a pending signal. */
#include "guest.h"
#include <sys/signalfd.h>
GUEST {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    MUST(fd >= 0 && kill(getpid(), SIGUSR1) == 0);
    ready();
    struct signalfd_siginfo info;
    CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1 && info.ssi_pid == (uint32_t)getpid());
    CHECK(read(fd, &info, sizeof info) < 0 && errno == EAGAIN);
}
