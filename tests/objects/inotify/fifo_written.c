/* An event that says that a watched FIFO itself was written to: to make it again would take what is in the FIFO. */
#include "watch.h"
#include <sys/stat.h>
REFUSED("FIFO")
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkfifo("fifo", 0600) == 0);
    int fd = open("fifo", O_RDWR);
    int wd = watch_add(reader.fd, "fifo", IN_MODIFY);
    MUST(write(fd, "x", 1) == 1);
    ready();
    watch_expect(&reader, wd, IN_MODIFY, "");
    watch_end(&reader);
    CHECK(reads(fd, "x"));
}
