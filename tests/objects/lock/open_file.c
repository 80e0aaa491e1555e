/* Locks of open file descriptions (F_OFD_SETLK), shared with a child. */
#include "guest.h"
GUEST {
    int fd = make_file("file", "0123456789");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
    MUST(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    ready();
    int other = open("file", O_RDWR);
    struct flock seen = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    CHECK(fcntl(other, F_OFD_GETLK, &seen) == 0 && seen.l_type == F_WRLCK && seen.l_start == 2 && seen.l_len == 3);
    lock.l_pid = 0;
    CHECK(fcntl(other, F_OFD_SETLK, &lock) < 0 && errno == EAGAIN);
    CHECK(fcntl(fd, F_OFD_SETLK, &lock) == 0, "it is not ours");
}
