/* The execution domain (personality(2)). */
#include "guest.h"
#include <sys/personality.h>
REFUSED("personality")
GUEST {
    MUST(personality(ADDR_NO_RANDOMIZE | UNAME26) >= 0);
    ready();
    CHECK(personality(0xffffffff) == (ADDR_NO_RANDOMIZE | UNAME26), "%#x", personality(0xffffffff));
}
