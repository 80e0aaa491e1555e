/* How late timers may be (PR_SET_TIMERSLACK). */
#include "guest.h"
GUEST {
    MUST(prctl(PR_SET_TIMERSLACK, 777777) == 0);
    ready();
    CHECK(prctl(PR_GET_TIMERSLACK) == 777777, "%d", prctl(PR_GET_TIMERSLACK));
}
