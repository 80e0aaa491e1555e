/* A program that gave up rights for good (landlock(7)) does not get them back. */
#include "guest.h"
#include <linux/landlock.h>
REFUSED("Landlock")
GUEST {
    struct landlock_ruleset_attr rules = {.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE};
    close(make_file("file", "x"));
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    MUST(fd >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(syscall(SYS_landlock_restrict_self, fd, 0) == 0);
    close(fd);
    MUST(open("file", O_WRONLY) == -1 && errno == EACCES);
    ready();
    CHECK(open("file", O_WRONLY) == -1 && errno == EACCES, "it may write again");
}
