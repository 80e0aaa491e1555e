/* A file without a name lives on as long as it is open. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = make_file("file", "without a name");
    MUST(fchmod(fd, 0640) == 0 && unlink("file") == 0);
    MUST(lseek(fd, 8, SEEK_SET) == 8);
    ready();
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_nlink == 0, "%lu names", (unsigned long)stat.st_nlink);
    CHECK((stat.st_mode & 07777) == 0640);
    CHECK(access("file", F_OK) != 0, "it has its name back");
    CHECK(reads(fd, "a name"));
    CHECK(write(fd, "!", 1) == 1 && holds(fd, "without a name!"));
}
