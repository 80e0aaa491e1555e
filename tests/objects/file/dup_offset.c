/* Duplicates share their offset and status flags, and have their own close-on-exec flags. */
#include "guest.h"
GUEST {
    int a = make_file("file", "0123456789");
    int b = fcntl(a, F_DUPFD_CLOEXEC, 50);
    int apart = open("file", O_RDONLY);
    MUST(b >= 50 && apart >= 0 && lseek(a, 3, SEEK_SET) == 3);
    ready();
    CHECK(lseek(b, 2, SEEK_CUR) == 5 && lseek(a, 0, SEEK_CUR) == 5);
    CHECK(lseek(apart, 0, SEEK_CUR) == 0, "its own offset");
    CHECK(fcntl(b, F_GETFD) == FD_CLOEXEC && fcntl(a, F_GETFD) == 0);
    CHECK(fcntl(b, F_SETFL, O_APPEND) == 0 && (fcntl(a, F_GETFL) & O_APPEND));
}
