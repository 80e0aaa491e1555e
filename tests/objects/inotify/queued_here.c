/* Events whose files are still there, open, and of all types. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    int wd = watch_add(reader.fd, "d", IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_MOVE);
    int fd = make_file("d/file", "text");
    MUST(mkdir("d/dir", 0755) == 0 && mkfifo("d/fifo", 0644) == 0 && symlink("file", "d/link") == 0);
    close(make_file("d/dir/inner", "inner"));
    MUST(rename("d/dir", "d/directory") == 0);
    ready();
    watch_expect(&reader, wd, IN_CREATE, "file");
    watch_expect(&reader, wd, IN_MODIFY, "file");
    watch_expect(&reader, wd, IN_CREATE | IN_ISDIR, "dir");
    watch_expect(&reader, wd, IN_CREATE, "fifo");
    watch_expect(&reader, wd, IN_CREATE, "link");
    uint32_t cookie = watch_expect(&reader, wd, IN_MOVED_FROM | IN_ISDIR, "dir");
    CHECK(watch_expect(&reader, wd, IN_MOVED_TO | IN_ISDIR, "directory") == cookie);
    watch_end(&reader);
    CHECK(file_holds("d/directory/inner", "inner") && file_holds("d/link", "text"));
    CHECK(pwrite(fd, "T", 1, 0) == 1 && file_holds("d/file", "Text"));
    watch_expect(&reader, wd, IN_MODIFY, "file");
    watch_end(&reader);
}
