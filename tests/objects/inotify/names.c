/* Names of every length, and odd ones, each on a watch with its own flags. */
#include "watch.h"
ON_TMPFS_TOO
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    char name[256], path[300];
    MUST(mkdir("d", 0755) == 0);
    int wd = watch_add(reader.fd, "d", IN_CREATE | IN_EXCL_UNLINK | IN_DONT_FOLLOW);
    for (int length = 1; length < 256; length++) {
        memset(name, "ab\n\xff "[length % 5], length);
        name[length] = 0;
        snprintf(path, sizeof path, "d/%s", name);
        MUST(mknod(path, S_IFREG | 0600, 0) == 0);
    }
    ready();
    for (int length = 1; length < 256; length++) {
        memset(name, "ab\n\xff "[length % 5], length);
        name[length] = 0;
        watch_expect(&reader, wd, IN_CREATE, name);
        snprintf(path, sizeof path, "d/%s", name);
        CHECK(access(path, F_OK) == 0);
    }
    watch_end(&reader);
}
