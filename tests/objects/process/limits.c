/* Resource limits, umask, nice value, policy of scheduling, out-of-memory score. */
#include "guest.h"
GUEST {
    struct rlimit files = {123, 456}, core = {1000, 5000}, back;
    MUST(setrlimit(RLIMIT_NOFILE, &files) == 0 && setrlimit(RLIMIT_CORE, &core) == 0);
    umask(0137);
    MUST(setpriority(PRIO_PROCESS, 0, 17) == 0);
    struct sched_param none = {0};
    MUST(sched_setscheduler(0, SCHED_BATCH, &none) == 0);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    MUST(fd >= 0 && write(fd, "321", 3) == 3);
    close(fd);
    ready();
    CHECK(getrlimit(RLIMIT_NOFILE, &back) == 0 && back.rlim_cur == 123 && back.rlim_max == 456, "RLIMIT_NOFILE");
    CHECK(getrlimit(RLIMIT_CORE, &back) == 0 && back.rlim_cur == 1000 && back.rlim_max == 5000, "RLIMIT_CORE");
    CHECK(umask(0) == 0137, "umask");
    CHECK(getpriority(PRIO_PROCESS, 0) == 17, "nice %d", getpriority(PRIO_PROCESS, 0));
    CHECK(sched_getscheduler(0) == SCHED_BATCH, "policy %d", sched_getscheduler(0));
    CHECK(file_holds("/proc/self/oom_score_adj", "321\n"), "oom_score_adj");
}
