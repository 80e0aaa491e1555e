/* Settings of prctl(2): death signal, no new privileges, timer slack, dumpable, name, huge pages. */
#include "guest.h"
GUEST {
    MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 && prctl(PR_SET_NAME, "odd name (x") == 0);
    ready();
    int death = 0;
    char name[16];
    CHECK(prctl(PR_GET_PDEATHSIG, &death) == 0 && death == SIGUSR2, "PR_SET_PDEATHSIG %d", death);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "PR_SET_NO_NEW_PRIVS");
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "PR_SET_THP_DISABLE");
    CHECK(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "odd name (x") == 0, "%s", name);
    CHECK(prctl(PR_GET_DUMPABLE) == 1, "PR_SET_DUMPABLE %d", prctl(PR_GET_DUMPABLE));
}
