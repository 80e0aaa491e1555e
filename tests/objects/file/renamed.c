/* A file that was renamed while open, into another directory too. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = make_file("old", "text");
    MUST(mkdir("d", 0755) == 0 && rename("old", "d/new") == 0);
    close(make_file("old", "another file"));
    ready();
    CHECK(pwrite(fd, "TEXT", 4, 0) == 4);
    CHECK(file_holds("d/new", "TEXT"));
    CHECK(file_holds("old", "another file"));
}
