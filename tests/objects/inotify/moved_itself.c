/* What is watched was itself moved: a file, as editors do it, and a directory. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    close(make_file("file", "text"));
    close(make_file("d/inner", "inner"));
    int file = watch_add(reader.fd, "file", IN_MOVE_SELF | IN_MODIFY);
    int directory = watch_add(reader.fd, "d", IN_MOVE_SELF | IN_CREATE);
    MUST(rename("file", "d/file~") == 0 && rename("d", "e") == 0);
    close(make_file("e/two", ""));
    ready();
    watch_expect(&reader, file, IN_MOVE_SELF, "");
    watch_expect(&reader, directory, IN_MOVE_SELF, "");
    watch_expect(&reader, directory, IN_CREATE, "two");
    watch_end(&reader);
    CHECK(file_holds("e/file~", "text") && file_holds("e/inner", "inner") && access("file", F_OK) != 0);
    CHECK(rename("e", "f") == 0);
    watch_expect(&reader, directory, IN_MOVE_SELF, "");
    watch_end(&reader);
}
