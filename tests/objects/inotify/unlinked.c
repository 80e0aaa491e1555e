/* A watch on a directory that was removed while somebody has it open. */
#include "watch.h"
REFUSED("was deleted and is still open")
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    int keeps = open("d", O_RDONLY | O_DIRECTORY);
    watch_add(reader.fd, "d", IN_CREATE);
    MUST(keeps >= 0 && rmdir("d") == 0);
    ready();
    watch_end(&reader);
}
