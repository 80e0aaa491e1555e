/* inotify, for guests. */
#ifndef GUEST_WATCH_H
#define GUEST_WATCH_H

#include "guest.h"

#include <sys/inotify.h>

/* Checks that the next event in the queue is this one; answers its cookie. A pointer to 0 begins a queue. */
struct watch_reader {
    int fd;
    char buffer[65536];
    ssize_t length, at;
};

static inline uint32_t watch_expect(struct watch_reader *reader, int wd, uint32_t mask, const char *name) {
    if (reader->at == reader->length) {
        reader->length = read(reader->fd, reader->buffer, sizeof reader->buffer);
        reader->at = 0;
        CHECK(reader->length > 0, "%#x of %s is lost", mask, name);
    }
    const struct inotify_event *event = (void *)(reader->buffer + reader->at);
    const char *got = event->len ? event->name : "";
    CHECK(event->wd == wd && event->mask == mask && strcmp(got, name) == 0, "wd %d mask %#x %s came as wd %d mask %#x %s", wd,
          mask, name, event->wd, event->mask, got);
    reader->at += sizeof *event + event->len;
    return event->cookie;
}

/* Checks that the queue is empty. */
static inline void watch_end(struct watch_reader *reader) {
    CHECK(reader->at == reader->length, "an event that nobody made: %#x",
          ((struct inotify_event *)(reader->buffer + reader->at))->mask);
    CHECK(read(reader->fd, reader->buffer, 4096) < 0 && errno == EAGAIN, "an event that nobody made: %#x",
          ((struct inotify_event *)reader->buffer)->mask);
}

/* How many events a queue holds. */
static inline int watch_limit(void) {
    int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY);
    char text[16] = "";
    MUST(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return atoi(text);
}

static inline int watch_init(void) {
    int fd = inotify_init1(IN_NONBLOCK);
    MUST(fd >= 0);
    return fd;
}

static inline int watch_add(int fd, const char *path, uint32_t mask) {
    int wd = inotify_add_watch(fd, path, mask);
    MUST(wd >= 0);
    return wd;
}

#endif
