/* What every guest program shares: how it reports that it is ready, waits, checks itself and reports the outcome.
 *
 * A guest is one file, tests/objects/FAMILY/NAME.c. It makes the object, calls ready(), which returns when the runner has
 * saved (and perhaps resumed) the session, and checks the object. It prints `ready`, then `ok` or what differs.
 * build.rs makes one static program of all of them, since there is no C library that every base is sure to have.
 */
#ifndef GUEST_H
#define GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GUEST_PASTE_(a, b) a##b
#define GUEST_PASTE(a, b) GUEST_PASTE_(a, b)

/* The guest itself. Its working directory is its own and empty, on the session's layer. */
#define GUEST void GUEST_ID(void); void GUEST_ID(void)
/* Plays a second time with its directory on a tmpfs. */
#define ON_TMPFS_TOO const int GUEST_PASTE(GUEST_ID, _tmpfs) = 1;
/* Runs as the session's root instead of its user. */
#define AS_ROOT const int GUEST_PASTE(GUEST_ID, _root) = 1;
/* Too large to be played with all others: has its own session. */
#define ALONE const int GUEST_PASTE(GUEST_ID, _alone) = 1;
/* The engine cannot save it: the save is refused by a text that names the program and holds this. */
#define REFUSED(text) const char *const GUEST_PASTE(GUEST_ID, _refused) = text;

/* The engine loses this of it, and nothing says so yet: counted apart, and never as saved. */
#define KNOWN_LOSS(text) const char *const GUEST_PASTE(GUEST_ID, _known) = text;

/* Ends the guest with what differs. For use after ready(). */
#define CHECK(condition, ...) ((condition) ? (void)0 : guest_lost(__LINE__, #condition, "" __VA_ARGS__))
/* Ends the guest because the object could not be made. For use before ready(). */
#define MUST(condition) ((condition) ? (void)0 : guest_unable(__LINE__, #condition))

_Noreturn void guest_lost(int line, const char *condition, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void guest_unable(int line, const char *condition);

/* Reports that all is made, and returns when it is to be checked. Takes no signal and changes nothing. */
void ready(void);
/* After ready(): whether this is a resumed copy, not the session that was saved. */
bool resumed(void);
/* After ready(): the host's time, as seconds since the epoch. */
time_t outside_time(void);
/* Sleeps through interruptions. */
void sleep_ms(int milliseconds);

/* A new file of that text, open for reading and writing, its offset at the end. */
int make_file(const char *path, const char *text);
/* Whether the descriptor holds exactly that text, from its beginning; its offset stays. */
bool holds(int fd, const char *text);
/* Whether the next read gives exactly that text. */
bool reads(int fd, const char *text);
/* What the master of a terminal gets, `expected` bytes and whatever comes right behind, with a zero at the end: how many bytes. The
 * kernel shows things later than it takes them, and in pieces. */
ssize_t shown(int master, char *text, size_t room, size_t expected);
/* Whether the file at `path` holds exactly that text. */
bool file_holds(const char *path, const char *text);
/* A child that waits forever in `child`, and is killed when its parent ends. */
pid_t make_child(void (*child)(void));
/* The value of `key` in /proc/`pid`/`file`, as a static string without leading blanks; empty when there is none. */
const char *proc_value(pid_t pid, const char *file, const char *key);
/* A page-aligned block shared with children. */
void *make_shared(size_t length);

#endif
