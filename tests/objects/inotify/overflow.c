/* A queue at its limit, with the event that says so at its end. */
#include "watch.h"
GUEST {
    static struct watch_reader reader;
    int limit = watch_limit();
    reader.fd = watch_init();
    MUST(mkdir("d", 0755) == 0);
    int wd = watch_add(reader.fd, "d", IN_CREATE | IN_DELETE);
    for (int i = 0; i < limit / 2 + 500; i++) {
        close(open("d/file", O_WRONLY | O_CREAT | O_EXCL, 0600));
        MUST(unlink("d/file") == 0);
    }
    ready();
    for (int i = 0; i < limit; i++) watch_expect(&reader, wd, i % 2 ? IN_DELETE : IN_CREATE, "file");
    watch_expect(&reader, -1, IN_Q_OVERFLOW, "");
    watch_end(&reader);
    close(make_file("d/new", ""));
    watch_expect(&reader, wd, IN_CREATE, "new");
    watch_end(&reader);
}
