/* A thread that may not read the time stamp counter (PR_SET_TSC). */
#include "guest.h"
REFUSED("PR_SET_TSC")
GUEST {
    MUST(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
    ready();
    int how = 0;
    CHECK(prctl(PR_GET_TSC, &how) == 0 && how == PR_TSC_SIGSEGV, "it may");
}
