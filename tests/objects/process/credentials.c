/* User, group and supplementary group ids, capabilities in all sets, and securebits. */
#include "guest.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
AS_ROOT
GUEST {
    gid_t groups[3] = {7, 8, 1234}, back[8];
    MUST(setgroups(3, groups) == 0 && setresgid(5, 6, 7) == 0);
    MUST(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP) == 0);
    MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME) == 0 && setresuid(1000, 1001, 0) == 0);
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{1 << CAP_CHOWN | 1 << CAP_KILL, 1 << CAP_CHOWN | 1 << CAP_KILL | 1 << CAP_SETUID, 1 << CAP_KILL}};
    MUST(syscall(SYS_capset, &head, sets) == 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0);
    ready();
    uid_t r, e, s;
    CHECK(getresuid(&r, &e, &s) == 0 && r == 1000 && e == 1001 && s == 0);
    CHECK(getresgid(&r, &e, &s) == 0 && r == 5 && e == 6 && s == 7);
    CHECK(getgroups(8, back) == 3 && memcmp(groups, back, sizeof groups) == 0);
    struct __user_cap_data_struct now[2];
    CHECK(syscall(SYS_capget, &head, now) == 0 && memcmp(now, sets, sizeof now) == 0, "capabilities");
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0) == 1, "ambient");
    CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_TIME) == 0 && prctl(PR_CAPBSET_READ, CAP_KILL) == 1, "bounding set");
    CHECK(prctl(PR_GET_SECUREBITS) == (SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP), "%#x", prctl(PR_GET_SECUREBITS));
}
