/* fanotify(7), as far as a root of a session may have it. */
#include "guest.h"
#include <sys/fanotify.h>
AS_ROOT
REFUSED("fanotify")
GUEST {
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY);
    MUST(fd >= 0 && mkdir("d", 0755) == 0 && fanotify_mark(fd, FAN_MARK_ADD, FAN_CREATE | FAN_ONDIR, AT_FDCWD, "d") == 0);
    MUST(mkdir("d/sub", 0755) == 0);
    ready();
    char buffer[4096];
    CHECK(read(fd, buffer, sizeof buffer) > 0);
}
