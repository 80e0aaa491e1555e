/* Events of a watched file itself, which have no name; it is not changed by them. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    close(make_file("file", "text"));
    int wd = watch_add(reader.fd, "file", IN_ALL_EVENTS);
    int fd = open("file", O_RDWR);
    char byte;
    MUST(read(fd, &byte, 1) == 1 && pwrite(fd, "T", 1, 0) == 1 && fchmod(fd, 0600) == 0 && close(fd) == 0);
    ready();
    watch_expect(&reader, wd, IN_OPEN, "");
    watch_expect(&reader, wd, IN_ACCESS, "");
    watch_expect(&reader, wd, IN_MODIFY, "");
    watch_expect(&reader, wd, IN_ATTRIB, "");
    watch_expect(&reader, wd, IN_CLOSE_WRITE, "");
    watch_end(&reader);
    CHECK(file_holds("file", "Text"));
}
