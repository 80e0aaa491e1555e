/* The same in a copy, where the engine removes its own link to the file shortly before the session runs. */
#include "watch.h"
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    int fd = make_file("d/a", "text");
    MUST(link("d/a", "d/b") == 0 && unlink("d/a") == 0);
    watch_add(reader.fd, "d", IN_DELETE);
    ready();
    CHECK(holds(fd, "text"));
    watch_end(&reader);
}
