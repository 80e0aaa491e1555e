/* A process in its own user namespace, as sandboxes have it. */
#include "guest.h"
REFUSED("namespace of its own")
GUEST {
    MUST(unshare(CLONE_NEWUSER) == 0);
    ready();
    CHECK(getpid() > 1);
}
