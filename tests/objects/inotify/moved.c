/* A watch on a directory that was moved, with events waiting. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("old", 0755) == 0 && mkdir("other", 0755) == 0);
    int wd = watch_add(reader.fd, "old", IN_CREATE);
    MUST(rename("old", "other/new") == 0);
    close(make_file("other/new/one", ""));
    ready();
    watch_expect(&reader, wd, IN_CREATE, "one");
    close(make_file("other/new/two", ""));
    watch_expect(&reader, wd, IN_CREATE, "two");
    watch_end(&reader);
}
