/* The host's name as the session's root has set it. */
#include "guest.h"
AS_ROOT
GUEST {
    char name[64] = "", before[64] = "";
    MUST(gethostname(before, sizeof before) == 0 && sethostname("another", 7) == 0);
    ready();
    CHECK(gethostname(name, sizeof name) == 0 && strcmp(name, "another") == 0, "it is %s", name);
    sethostname(before, strlen(before));
}
