/* Handlers with their flags and masks, ignored signals, the mask of the process, and an alternate stack. */
#include "guest.h"
static char stack[65536];
static volatile bool on_stack;
static volatile int value;
static void handler(int signal, siginfo_t *info, void *context) {
    char here;
    (void)signal, (void)context;
    on_stack = &here >= stack && &here < stack + sizeof stack;
    value = info->si_value.sival_int;
}
GUEST {
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART}, back;
    sigaddset(&action.sa_mask, SIGHUP);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGWINCH);
    MUST(sigaltstack(&alternate, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    MUST(signal(SIGUSR2, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    ready();
    CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42}) == 0 && value == 42 && on_stack);
    CHECK(sigaction(SIGUSR1, NULL, &back) == 0 && sigismember(&back.sa_mask, SIGHUP) == 1);
    enum { RESTORER = 0x04000000 /* the C library's own */ };
    CHECK((back.sa_flags & ~RESTORER) == action.sa_flags, "flags %#x", back.sa_flags);
    CHECK(kill(getpid(), SIGUSR2) == 0);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGWINCH) == 1 && !sigismember(&mask, SIGUSR1));
    CHECK(sigaltstack(NULL, &alternate) == 0 && alternate.ss_sp == stack && alternate.ss_size == sizeof stack);
}
