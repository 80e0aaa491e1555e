/* A queue at its limit, with the event that tells so. */
#include "watch.h"
REFUSED("IN_Q_OVERFLOW")
GUEST {
    struct watch_reader reader = {.fd = watch_init()};
    MUST(mkdir("d", 0755) == 0);
    watch_add(reader.fd, "d", IN_CREATE | IN_DELETE);
    for (int i = 0; i < 9000; i++) {
        close(open("d/file", O_WRONLY | O_CREAT | O_EXCL, 0600));
        MUST(unlink("d/file") == 0);
    }
    ready();
    int events = 0;
    ssize_t length;
    bool overflow = false;
    while ((length = read(reader.fd, reader.buffer, sizeof reader.buffer)) > 0)
        for (ssize_t at = 0; at < length; events++) {
            const struct inotify_event *event = (void *)(reader.buffer + at);
            overflow |= event->mask == IN_Q_OVERFLOW;
            at += sizeof *event + event->len;
        }
    CHECK(overflow && events == 16385, "%d events", events);
}
