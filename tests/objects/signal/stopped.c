/* A child that was stopped stays stopped until it is told to go on. */
#include "guest.h"
static volatile int *count;
static void child(void) {
    for (;;) (*count)++, sleep_ms(1);
}
GUEST {
    count = make_shared(4096);
    pid_t pid = make_child(child);
    int status;
    sleep_ms(20);
    MUST(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    int before = *count;
    ready();
    sleep_ms(50);
    CHECK(*count == before, "it runs");
    CHECK(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    for (int i = 0; i < 1000 && *count == before; i++) sleep_ms(5);
    CHECK(*count > before, "it does not run");
}
