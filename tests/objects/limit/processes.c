/* A thousand processes. */
#include "guest.h"
ALONE
static volatile unsigned char *seen;
static volatile int *go;
GUEST {
    enum { COUNT = 1000 };
    static pid_t pids[COUNT];
    seen = make_shared(COUNT);
    go = make_shared(4096);
    for (int i = 0; i < COUNT; i++) {
        pids[i] = fork();
        MUST(pids[i] >= 0);
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pid_t own = getpid();
            while (!*go) sleep_ms(500);
            seen[i] = getpid() == own ? 1 : 2;
            _exit(i % 100);
        }
    }
    ready();
    *go = 1;
    for (int i = 0; i < COUNT; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) && WEXITSTATUS(status) == i % 100, "number %d", i);
        CHECK(seen[i] == 1, "number %d", i);
    }
}
