/* A file that came with the base, never written to, opened and removed. */
#include "guest.h"
AS_ROOT
GUEST {
    char before[4096] = "";
    int fd = open("/etc/issue", O_RDONLY);
    MUST(fd >= 0 && pread(fd, before, sizeof before - 1, 0) > 0 && unlink("/etc/issue") == 0);
    ready();
    CHECK(holds(fd, before));
    CHECK(access("/etc/issue", F_OK) != 0);
}
