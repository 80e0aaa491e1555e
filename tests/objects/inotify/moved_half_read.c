/* The first half of a rename was read and the second not: the kernel gives no second event with that cookie. */
#include "watch.h"
REFUSED("half of a rename")
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    close(make_file("d/a", ""));
    int wd = watch_add(reader.fd, "d", IN_MOVE);
    MUST(rename("d/a", "d/b") == 0);
    ssize_t one = sizeof(struct inotify_event) + 16;
    MUST(read(reader.fd, reader.buffer, one) == one);
    uint32_t cookie = ((struct inotify_event *)reader.buffer)->cookie;
    ready();
    CHECK(watch_expect(&reader, wd, IN_MOVED_TO, "b") == cookie);
    watch_end(&reader);
}
