/* What the engine does for an unlinked file that has another name is heard by nobody who watches its directory, in the
 * session that runs on. (Of copies see link_remap_resumed.c.) */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    int fd = make_file("d/a", "text");
    MUST(link("d/a", "d/b") == 0 && unlink("d/a") == 0);
    int wd = watch_add(reader.fd, "d", IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB | IN_OPEN | IN_CLOSE);
    ready();
    CHECK(holds(fd, "text"));
    if (resumed()) return;
    watch_end(&reader);
    CHECK(unlink("d/b") == 0);
    watch_expect(&reader, wd, IN_DELETE, "b");
    watch_end(&reader);
}
