/* A thread that has switched off speculation for itself (PR_SET_SPECULATION_CTRL). */
#include "guest.h"
#include <linux/prctl.h>
GUEST {
    int before = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
    if (before > 0 && before & PR_SPEC_PRCTL) MUST(prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE, 0, 0) == 0);
    int set = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
    ready();
    int now = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
    CHECK(now == set, "%#x, not %#x (%#x)", now, set, before);
}
