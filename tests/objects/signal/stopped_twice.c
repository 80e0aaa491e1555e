/* The parent of a child that was stopped is not told a second time. */
#include "guest.h"
static void child(void) {}
KNOWN_LOSS("in a resumed copy the parent is told again that its child has stopped")
GUEST {
    pid_t pid = make_child(child);
    int status;
    MUST(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    ready();
    CHECK(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0, "told again");
    kill(pid, SIGKILL);
}
