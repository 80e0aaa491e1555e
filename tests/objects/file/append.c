/* A file opened for appending still appends, whatever its offset and whoever else wrote meanwhile. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    close(make_file("file", "one"));
    int fd = open("file", O_WRONLY | O_APPEND);
    MUST(fd >= 0 && write(fd, "two", 3) == 3);
    ready();
    int other = open("file", O_WRONLY);
    CHECK(other >= 0 && pwrite(other, "ONETWOthree", 11, 0) == 11);
    CHECK(write(fd, "four", 4) == 4);
    CHECK(file_holds("file", "ONETWOthreefour"));
}
