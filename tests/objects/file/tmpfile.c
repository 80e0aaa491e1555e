/* A file that never had a name (O_TMPFILE). */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    MUST(fd >= 0 && write(fd, "nameless", 8) == 8);
    ready();
    CHECK(holds(fd, "nameless"));
}
