/* A process that nobody may look into (PR_SET_DUMPABLE 0). */
#include "guest.h"
GUEST {
    MUST(prctl(PR_SET_DUMPABLE, 0) == 0);
    ready();
    CHECK(prctl(PR_GET_DUMPABLE) == 0, "%d", prctl(PR_GET_DUMPABLE));
}
