/* The parent of a child that was stopped is not told a second time, neither by wait4(2) nor by a signal. */
#include "guest.h"
static void child(void) {}
static volatile sig_atomic_t told;
static void handler(int signal) { (void)signal, told++; }
GUEST {
    struct sigaction action = {.sa_handler = handler};
    MUST(sigaction(SIGCHLD, &action, NULL) == 0);
    pid_t pid = make_child(child);
    int status;
    MUST(kill(pid, SIGSTOP) == 0);
    while (waitpid(pid, &status, WUNTRACED) != pid) MUST(errno == EINTR);
    MUST(WIFSTOPPED(status));
    while (!told) sleep_ms(1);
    int before = told;
    ready();
    CHECK(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0, "told again");
    CHECK(told == before, "%d signals", told - before);
    CHECK(proc_value(pid, "status", "State")[0] == 'T', "it runs");
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) != pid) CHECK(errno == EINTR);
    CHECK(WIFSIGNALED(status));
}
