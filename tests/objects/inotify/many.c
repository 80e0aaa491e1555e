/* Ten thousand queued events. */
#include "watch.h"
GUEST {
    enum { COUNT = 5000 };
    struct watch_reader reader = {.fd = watch_init()};
    char name[32];
    MUST(mkdir("d", 0755) == 0);
    int wd = watch_add(reader.fd, "d", IN_CREATE | IN_DELETE);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "d/file-%d", i);
        close(open(name, O_WRONLY | O_CREAT | O_EXCL, 0600));
        MUST(i % 10 == 0 || unlink(name) == 0);
    }
    ready();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "file-%d", i);
        watch_expect(&reader, wd, IN_CREATE, name);
        if (i % 10) watch_expect(&reader, wd, IN_DELETE, name);
    }
    watch_end(&reader);
}
