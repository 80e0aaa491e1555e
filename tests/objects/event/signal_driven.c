/* A descriptor whose owner is sent a signal of its choice when something can be read (F_SETOWN, F_SETSIG). */
#include "guest.h"
static volatile int from = -1;
static void handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    from = info->si_fd;
}
GUEST {
    int pair[2];
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && sigaction(SIGRTMIN + 3, &action, NULL) == 0);
    MUST(fcntl(pair[0], F_SETOWN, getpid()) == 0 && fcntl(pair[0], F_SETSIG, SIGRTMIN + 3) == 0);
    MUST(fcntl(pair[0], F_SETFL, O_ASYNC) == 0);
    ready();
    CHECK(from == -1, "a signal came");
    CHECK(fcntl(pair[0], F_GETOWN) == getpid() && fcntl(pair[0], F_GETSIG) == SIGRTMIN + 3);
    CHECK(write(pair[1], "x", 1) == 1);
    for (int i = 0; i < 400 && from == -1; i++) sleep_ms(5);
    CHECK(from == pair[0], "no signal comes");
}
