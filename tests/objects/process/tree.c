/* Orphans stay init's, a subreaper gets its own, groups and sessions stay, pids are the same. */
#include "guest.h"
static volatile pid_t *told;
GUEST {
    told = make_shared(4096);
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t middle = fork();
    if (middle == 0) {
        if (fork() == 0) {
            told[0] = getpid();
            for (;;) sleep_ms(5), told[1] = getppid();
        }
        while (!told[0]) sleep_ms(1);
        _exit(0);
    }
    pid_t group = fork();
    if (group == 0) {
        setpgid(0, 0);
        for (;;) pause();
    }
    pid_t session = fork();
    if (session == 0) {
        setsid();
        for (;;) pause();
    }
    MUST(waitpid(middle, NULL, 0) == middle);
    while (told[1] != getpid()) sleep_ms(1);
    pid_t own = getpid(), parent = getppid(), own_session = getsid(0);
    MUST(parent == 1);
    ready();
    CHECK(getpid() == own && getppid() == parent && getsid(0) == own_session);
    CHECK(getpgid(group) == group && getsid(group) == own_session, "group");
    CHECK(getpgid(session) == session && getsid(session) == session, "session");
    told[1] = 0;
    for (int i = 0; i < 1000 && !told[1]; i++) sleep_ms(5);
    CHECK(told[1] == own, "the orphan's parent is %d", told[1]);
    int is = 0;
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0 && is == 1);
    kill(told[0], SIGKILL);
    CHECK(waitpid(told[0], NULL, 0) == told[0], "the orphan is not ours");
    kill(group, SIGKILL);
    kill(session, SIGKILL);
}
