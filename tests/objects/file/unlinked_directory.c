/* An open directory that was removed. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    MUST(mkdir("d", 0755) == 0);
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    MUST(fd >= 0 && rmdir("d") == 0);
    ready();
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode));
    CHECK(access("d", F_OK) != 0, "it has its name back");
    CHECK(openat(fd, "file", O_WRONLY | O_CREAT, 0644) < 0 && errno == ENOENT);
}
