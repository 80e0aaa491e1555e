/* The part of the execution domain (personality(2)) that debuggers set for what they start. */
#include "guest.h"
#include <sys/personality.h>
GUEST {
    MUST(personality(ADDR_NO_RANDOMIZE) >= 0);
    ready();
    CHECK(personality(0xffffffff) == ADDR_NO_RANDOMIZE, "%#x", personality(0xffffffff));
}
