/* The case of 2010: link a to b, open a, remove a; then what is written to b is read from the open a. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int a = make_file("a", "before");
    MUST(link("a", "b") == 0 && unlink("a") == 0);
    ready();
    struct stat by_name, by_fd;
    CHECK(stat("b", &by_name) == 0 && fstat(a, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino);
    CHECK(by_fd.st_nlink == 1, "%lu names", (unsigned long)by_fd.st_nlink);
    int b = open("b", O_WRONLY | O_TRUNC);
    CHECK(b >= 0 && write(b, "after", 5) == 5);
    CHECK(holds(a, "after"));
    CHECK(access("a", F_OK) != 0);
}
