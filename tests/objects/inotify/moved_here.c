/* A watch on what arrives by being moved, as of a mailbox; what left is not watched. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("new", 0755) == 0 && mkdir("tmp", 0755) == 0);
    int wd = watch_add(reader.fd, "new", IN_MOVED_TO);
    close(make_file("tmp/one", "one"));
    close(make_file("tmp/two", "two"));
    MUST(rename("tmp/one", "new/one") == 0 && rename("tmp/two", "new/two") == 0);
    ready();
    uint32_t one = watch_expect(&reader, wd, IN_MOVED_TO, "one"), two = watch_expect(&reader, wd, IN_MOVED_TO, "two");
    CHECK(one != 0 && two != 0 && one != two, "cookies %u and %u", one, two);
    watch_end(&reader);
    CHECK(file_holds("new/one", "one") && file_holds("new/two", "two") && access("tmp/one", F_OK) != 0);
}
