/* An open regular file keeps its offset, its flags and what is in it. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int fd = make_file("file", "0123456789");
    MUST(lseek(fd, 4, SEEK_SET) == 4);
    MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    ready();
    CHECK(lseek(fd, 0, SEEK_CUR) == 4);
    CHECK(reads(fd, "456789"));
    CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND)) == (O_RDWR | O_NONBLOCK));
    CHECK(write(fd, "ab", 2) == 2 && file_holds("file", "0123456789ab"));
}
