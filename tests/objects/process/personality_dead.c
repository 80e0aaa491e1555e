/* A dead child had its own execution domain (personality(2)), which no longer matters to anybody. */
#include "guest.h"
#include <sys/personality.h>
GUEST {
    pid_t pid = fork();
    if (pid == 0) _exit(personality(ADDR_NO_RANDOMIZE) >= 0 ? 7 : 8);
    siginfo_t told;
    MUST(waitid(P_PID, pid, &told, WEXITED | WNOWAIT) == 0);
    ready();
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7, "%#x", status);
}
