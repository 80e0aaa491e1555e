/* The event that says that a queue was full has others behind it, and most of those before it were read. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    int limit = watch_limit(), left = 3;
    MUST(mkdir("d", 0755) == 0);
    int wd = watch_add(reader.fd, "d", IN_OPEN | IN_CLOSE);
    for (int i = 0; i <= limit; i++) {
        int fd = open("d", O_RDONLY | O_DIRECTORY);
        MUST(fd >= 0 && close(fd) == 0);
    }
    for (int bytes = (limit - left) * sizeof(struct inotify_event); bytes > 0;) {
        int most = bytes < (int)sizeof reader.buffer ? bytes : (int)sizeof reader.buffer;
        MUST(read(reader.fd, reader.buffer, most) == most);
        bytes -= most;
    }
    for (int i = 0; i < 2; i++) close(open("d", O_RDONLY | O_DIRECTORY));
    struct stat before, after;
    MUST(stat("d", &before) == 0);
    ready();
    for (int i = limit - left; i < limit; i++)
        watch_expect(&reader, wd, IN_ISDIR | (i % 2 ? IN_CLOSE_NOWRITE : IN_OPEN), "");
    watch_expect(&reader, -1, IN_Q_OVERFLOW, "");
    for (int i = 0; i < 4; i++) watch_expect(&reader, wd, IN_ISDIR | (i % 2 ? IN_CLOSE_NOWRITE : IN_OPEN), "");
    watch_end(&reader);
    CHECK(stat("d", &after) == 0 && after.st_mtime == before.st_mtime);
}
