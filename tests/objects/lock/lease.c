/* A lease on a file. */
#include "guest.h"
GUEST {
    close(make_file("file", "text"));
    int fd = open("file", O_RDONLY);
    MUST(fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0);
    ready();
    CHECK(fcntl(fd, F_GETLEASE) == F_RDLCK, "lease %d", fcntl(fd, F_GETLEASE));
}
