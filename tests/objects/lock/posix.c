/* Record locks (fcntl): a child finds the range locked by its parent, and waits for it. */
#include "guest.h"
static int fd;
static volatile int *got;
static void child(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 2};
    int own = open("file", O_RDWR);
    if (fcntl(own, F_SETLKW, &lock) == 0) *got = 1;
    else *got = -errno;
}
GUEST {
    fd = make_file("file", "0123456789012345");
    got = make_shared(4096);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5}, seen;
    MUST(fcntl(fd, F_SETLK, &lock) == 0);
    make_child(child);
    sleep_ms(50);
    ready();
    CHECK(*got == 0, "the child has it: %d", *got);
    pid_t asks = fork();
    if (asks == 0) {
        seen = lock;
        _exit(fcntl(fd, F_GETLK, &seen) == 0 && seen.l_pid == getppid() && seen.l_start == 10 && seen.l_len == 5 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(asks, &status, 0) == asks && status == 0, "the lock is not seen");
    lock.l_type = F_UNLCK;
    CHECK(fcntl(fd, F_SETLK, &lock) == 0);
    for (int i = 0; i < 1000 && !*got; i++) sleep_ms(5);
    CHECK(*got == 1, "the child did not get it: %d", *got);
}
