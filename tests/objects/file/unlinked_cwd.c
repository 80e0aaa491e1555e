/* A working directory that was removed. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    MUST(mkdir("d", 0755) == 0 && chdir("d") == 0 && rmdir("../d") == 0);
    ready();
    char path[4096];
    CHECK(getcwd(path, sizeof path) == NULL && errno == ENOENT, "it is %s", path);
    CHECK(open("file", O_WRONLY | O_CREAT, 0644) < 0 && errno == ENOENT);
}
