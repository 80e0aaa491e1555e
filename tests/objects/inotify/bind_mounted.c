/* A watch by the path of a bind mount, with events waiting that were made by the other path. */
#include "watch.h"
#include <sys/mount.h>
AS_ROOT
REFUSED("bind mount")
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0 && mount("d", "e", NULL, MS_BIND, NULL) == 0);
    int wd = watch_add(reader.fd, "e", IN_CREATE);
    close(make_file("d/one", ""));
    ready();
    watch_expect(&reader, wd, IN_CREATE, "one");
    close(make_file("e/two", ""));
    watch_expect(&reader, wd, IN_CREATE, "two");
    watch_end(&reader);
    CHECK(access("d/two", F_OK) == 0);
}
