/* A process whose root is a directory of the session. */
#include "guest.h"
AS_ROOT
GUEST {
    MUST(mkdir("root", 0755) == 0 && mkdir("root/d", 0755) == 0);
    close(make_file("root/file", "inside"));
    MUST(chroot("root") == 0 && chdir("/d") == 0);
    ready();
    char path[4096];
    CHECK(getcwd(path, sizeof path) && strcmp(path, "/d") == 0, "%s", path);
    CHECK(file_holds("/file", "inside") && access("/etc", F_OK) != 0);
}
