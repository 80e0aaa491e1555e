/* Children that have ended and were not waited for yet keep their exit status; one was killed. */
#include "guest.h"
GUEST {
    pid_t ended = fork();
    if (ended == 0) _exit(42);
    pid_t killed = fork();
    if (killed == 0) for (;;) pause();
    kill(killed, SIGKILL);
    siginfo_t info;
    MUST(waitid(P_PID, ended, &info, WEXITED | WNOWAIT) == 0 && waitid(P_PID, killed, &info, WEXITED | WNOWAIT) == 0);
    ready();
    int status;
    CHECK(waitpid(ended, &status, WNOHANG) == ended && WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(waitpid(killed, &status, WNOHANG) == killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(waitpid(-1, &status, WNOHANG) < 0 && errno == ECHILD);
}
