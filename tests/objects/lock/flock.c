/* Locks of the whole file (flock), shared and exclusive. */
#include "guest.h"
#include <sys/file.h>
ON_TMPFS_TOO
GUEST {
    int exclusive = make_file("one", ""), shared = make_file("two", "");
    MUST(flock(exclusive, LOCK_EX) == 0 && flock(shared, LOCK_SH) == 0);
    ready();
    int one = open("one", O_RDWR), two = open("two", O_RDWR);
    CHECK(flock(one, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK, "the exclusive one is lost");
    CHECK(flock(two, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK, "the shared one is lost");
    CHECK(flock(two, LOCK_SH | LOCK_NB) == 0);
    CHECK(flock(exclusive, LOCK_UN) == 0 && flock(one, LOCK_EX | LOCK_NB) == 0);
}
