/* Events of every kind that wait in the queue: in order, each with its watch, mask and name; the files are as they were. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    close(make_file("d/old", "old"));
    int wd = watch_add(reader.fd, "d", IN_ALL_EVENTS);
    int fd = make_file("d/new", "text");
    MUST(fchmod(fd, 0600) == 0 && close(fd) == 0);
    char byte;
    fd = open("d/old", O_RDONLY);
    MUST(read(fd, &byte, 1) == 1 && close(fd) == 0);
    MUST(mkdir("d/sub", 0755) == 0 && rmdir("d/sub") == 0);
    MUST(rename("d/new", "d/renamed") == 0 && rename("d/old", "elsewhere") == 0 && rename("elsewhere", "d/old") == 0);
    MUST(unlink("d/renamed") == 0);
    struct stat before, after;
    MUST(stat("d", &before) == 0);
    ready();
    watch_expect(&reader, wd, IN_CREATE, "new");
    watch_expect(&reader, wd, IN_OPEN, "new");
    watch_expect(&reader, wd, IN_MODIFY, "new");
    watch_expect(&reader, wd, IN_ATTRIB, "new");
    watch_expect(&reader, wd, IN_CLOSE_WRITE, "new");
    watch_expect(&reader, wd, IN_OPEN, "old");
    watch_expect(&reader, wd, IN_ACCESS, "old");
    watch_expect(&reader, wd, IN_CLOSE_NOWRITE, "old");
    watch_expect(&reader, wd, IN_CREATE | IN_ISDIR, "sub");
    watch_expect(&reader, wd, IN_DELETE | IN_ISDIR, "sub");
    uint32_t one = watch_expect(&reader, wd, IN_MOVED_FROM, "new"), other = watch_expect(&reader, wd, IN_MOVED_TO, "renamed");
    CHECK(one == other && one != 0, "cookies %u and %u", one, other);
    uint32_t away = watch_expect(&reader, wd, IN_MOVED_FROM, "old"), back = watch_expect(&reader, wd, IN_MOVED_TO, "old");
    CHECK(away != back && away != one, "cookies %u and %u", away, back);
    watch_expect(&reader, wd, IN_DELETE, "renamed");
    watch_end(&reader);
    CHECK(file_holds("d/old", "old") && access("d/new", F_OK) != 0 && access("d/sub", F_OK) != 0);
    CHECK(stat("d", &after) == 0 && after.st_mtime == before.st_mtime && after.st_nlink == before.st_nlink);
}
