/* Events of a watched FIFO that nobody has open any more, or that waits for its other end. */
#include "watch.h"
#include <sys/stat.h>
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkfifo("fifo", 0600) == 0);
    int wd = watch_add(reader.fd, "fifo", IN_ALL_EVENTS);
    MUST(close(open("fifo", O_RDONLY | O_NONBLOCK)) == 0 && close(open("fifo", O_RDWR)) == 0 && chmod("fifo", 0640) == 0);
    ready();
    watch_expect(&reader, wd, IN_OPEN, "");
    watch_expect(&reader, wd, IN_CLOSE_NOWRITE, "");
    watch_expect(&reader, wd, IN_OPEN, "");
    watch_expect(&reader, wd, IN_CLOSE_WRITE, "");
    watch_expect(&reader, wd, IN_ATTRIB, "");
    watch_end(&reader);
}
