/* A file system that the session's root has mounted, with what is in it. */
#include "guest.h"
#include <sys/mount.h>
AS_ROOT
GUEST {
    MUST(mkdir("mnt", 0755) == 0 && mount("mine", "mnt", "tmpfs", MS_NOSUID, "size=1m,mode=0700") == 0);
    int fd = make_file("mnt/file", "inside");
    MUST(mkdir("mnt/d", 0700) == 0 && symlink("file", "mnt/link") == 0);
    ready();
    CHECK(file_holds("mnt/file", "inside") && holds(fd, "inside") && file_holds("mnt/link", "inside"));
    struct stat stat;
    CHECK(lstat("mnt/d", &stat) == 0 && (stat.st_mode & 07777) == 0700);
    CHECK(close(fd) == 0 && umount("mnt") == 0);
}
