/* Two watchers of one directory, of which one has read its events: each gets its own and nothing else; renames cross. */
#include "watch.h"
GUEST {
    struct watch_reader fast = {.fd = watch_init()}, slow = {.fd = watch_init()};
    MUST(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0);
    int fast_a = watch_add(fast.fd, "a", IN_ALL_EVENTS), slow_b = watch_add(slow.fd, "b", IN_MOVE);
    int slow_a = watch_add(slow.fd, "a", IN_CREATE | IN_MOVE);
    close(make_file("a/file", ""));
    MUST(rename("a/file", "b/file") == 0);
    char buffer[4096];
    MUST(read(fast.fd, buffer, sizeof buffer) > 0);
    ready();
    watch_end(&fast);
    watch_expect(&slow, slow_a, IN_CREATE, "file");
    uint32_t cookie = watch_expect(&slow, slow_a, IN_MOVED_FROM, "file");
    CHECK(watch_expect(&slow, slow_b, IN_MOVED_TO, "file") == cookie);
    watch_end(&slow);
    CHECK(rename("b/file", "a/file") == 0);
    watch_expect(&fast, fast_a, IN_MOVED_TO, "file");
    watch_end(&fast);
}
