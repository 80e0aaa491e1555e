/* Watches with nothing queued: the same numbers and masks, events as before, and none that nobody made. */
#include "guest.h"
#include <sys/inotify.h>
ON_TMPFS_TOO
GUEST {
    int fd = inotify_init1(IN_NONBLOCK);
    MUST(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0);
    int a = inotify_add_watch(fd, "a", IN_ALL_EVENTS), gone = inotify_add_watch(fd, ".", IN_CREATE);
    int b = inotify_add_watch(fd, "b", IN_CREATE | IN_DELETE);
    MUST(a > 0 && b > gone && inotify_rm_watch(fd, gone) == 0);
    char buffer[4096];
    MUST(read(fd, buffer, sizeof buffer) > 0);
    ready();
    CHECK(read(fd, buffer, sizeof buffer) < 0 && errno == EAGAIN, "an event that nobody made: mask %#x", ((struct inotify_event *)buffer)->mask);
    close(make_file("b/new", ""));
    CHECK(unlink("b/new") == 0);
    ssize_t length = read(fd, buffer, sizeof buffer);
    struct inotify_event *first = (struct inotify_event *)buffer;
    CHECK(length > 0 && first->wd == b && first->mask == IN_CREATE && strcmp(first->name, "new") == 0);
    struct inotify_event *second = (struct inotify_event *)(buffer + sizeof *first + first->len);
    CHECK(second->wd == b && second->mask == IN_DELETE);
    CHECK(length == (ssize_t)(2 * (sizeof *first + first->len)));
    CHECK(inotify_add_watch(fd, "a", IN_OPEN) == a, "the watch has another number");
}
