/* The entry of all guests, and what guest.h declares.
 *
 *   objects --list                      every guest: name, "user" or "root", "together" or "alone", what refuses it, what is lost
 *   objects --start DIRECTORY NAME...   starts guests, each on its own, that log to DIRECTORY/NAME.log
 *   objects --try NAME                  plays one without a save in the middle
 *   objects --sleep                     says `s`, and `t` when it is told to end: a program for process/exec
 */
#include "guest.h"
#include "registry.h"

#include <dirent.h>

/* Descriptor of the directory with the logs, and of the file `check` that the runner makes there. */
enum { BOARD = 200 };

static bool was_resumed;
static time_t time_outside;
static bool trying;

void guest_lost(int line, const char *condition, const char *format, ...) {
    int error = errno;
    va_list arguments;
    printf("lost: line %d: %s", line, condition);
    if (*format) {
        printf(": ");
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
    }
    printf(" (errno %d: %s)\n", error, strerror(error));
    fflush(stdout);
    _exit(1);
}

void guest_unable(int line, const char *condition) {
    printf("unable: line %d: %s (errno %d: %s)\n", line, condition, errno, strerror(errno));
    fflush(stdout);
    _exit(2);
}

void sleep_ms(int milliseconds) {
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {}
}

void ready(void) {
    puts("ready");
    fflush(stdout);
    if (trying) {
        time_outside = time(NULL);
        return;
    }
    while (faccessat(BOARD, "check", F_OK, 0) != 0) sleep_ms(25);
    char text[64] = "";
    int fd = openat(BOARD, "check", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) guest_unable(__LINE__, "read check");
    close(fd);
    was_resumed = strncmp(text, "resumed ", 8) == 0;
    time_outside = atol(strchr(text, ' '));
}

bool resumed(void) { return was_resumed; }

time_t outside_time(void) { return time_outside; }

int make_file(const char *path, const char *text) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    MUST(fd >= 0);
    MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

bool holds(int fd, const char *text) {
    char buffer[4096];
    ssize_t length = pread(fd, buffer, sizeof buffer, 0);
    return length == (ssize_t)strlen(text) && memcmp(buffer, text, length) == 0;
}

bool reads(int fd, const char *text) {
    char buffer[4096];
    ssize_t length = read(fd, buffer, sizeof buffer);
    return length == (ssize_t)strlen(text) && memcmp(buffer, text, length) == 0;
}

ssize_t shown(int master, char *text, size_t room, size_t expected) {
    size_t length = 0;
    struct pollfd fd = {master, POLLIN, 0};
    while (length + 1 < room && poll(&fd, 1, length < expected ? 10000 : 50) == 1) {
        ssize_t more = read(master, text + length, room - 1 - length);
        if (more <= 0) break;
        length += more;
    }
    text[length] = 0;
    return length;
}

bool file_holds(const char *path, const char *text) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && holds(fd, text);
    if (fd >= 0) close(fd);
    return same;
}

pid_t make_child(void (*child)(void)) {
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child();
        for (;;) pause();
    }
    return pid;
}

const char *proc_value(pid_t pid, const char *file, const char *key) {
    static char line[512];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *stream = fopen(path, "re");
    if (!stream) return "";
    while (fgets(line, sizeof line, stream)) {
        size_t length = strlen(key);
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            fclose(stream);
            line[strcspn(line, "\n")] = 0;
            char *value = line + length + 1;
            return value + strspn(value, " \t");
        }
    }
    fclose(stream);
    return "";
}

void *make_shared(size_t length) {
    void *block = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(block != MAP_FAILED);
    return block;
}

static const struct guest *find(const char *name) {
    size_t length = strcspn(name, "@");
    for (const struct guest *guest = guests; guest->name; guest++)
        if (strlen(guest->name) == length && strncmp(guest->name, name, length) == 0) return guest;
    fprintf(stderr, "there is no guest %s\n", name);
    exit(2);
}

static void list(void) {
    for (const struct guest *guest = guests; guest->name; guest++) {
        const char *user = guest->root && *guest->root ? "root" : "user";
        const char *how = guest->alone && *guest->alone ? "alone" : "together";
        const char *refused = guest->refused ? *guest->refused : "";
        const char *known = guest->known ? *guest->known : "";
        printf("%s\t%s\t%s\t%s\t%s\n", guest->name, user, how, refused, known);
        if (guest->tmpfs && *guest->tmpfs)
            printf("%s@tmpfs\t%s\t%s\t%s\t%s\n", guest->name, user, how, refused, known);
    }
}

/* Becomes the guest `name`: a child of process 1, in its own session, with nothing open but its log. */
static void start(const char *board, const char *name) {
    char path[256];
    if (fork() != 0) return;
    setsid();
    if (fork() != 0) _exit(0);
    const char *parent = strstr(name, "@tmpfs") ? "/tmp" : getuid() == 0 ? "/root" : "/home/user";
    snprintf(path, sizeof path, "%s/guest-%s", parent, name);
    MUST(mkdir(path, 0755) == 0 && chdir(path) == 0);
    snprintf(path, sizeof path, "%s/%s.log", board, name);
    int log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    int directory = open(board, O_RDONLY | O_DIRECTORY);
    MUST(log >= 0 && directory >= 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2);
    MUST(dup3(directory, BOARD, O_CLOEXEC) == BOARD);
    close_range(3, BOARD - 1, 0);
    close_range(BOARD + 1, ~0U, 0);
    prctl(PR_SET_NAME, name);
    alarm(0);
    find(name)->play();
    puts("ok");
    fflush(stdout);
    _exit(0);
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "--list") == 0) {
        list();
        return 0;
    }
    if (count == 3 && strcmp(words[1], "--try") == 0) {
        trying = true;
        find(words[2])->play();
        puts("ok");
        return 0;
    }
    if (count == 2 && strcmp(words[1], "--sleep") == 0) {
        sigset_t set;
        int signal;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        if (write(1, "s", 1) != 1 || sigwait(&set, &signal) != 0 || write(1, "t", 1) != 1) return 1;
        return 7;
    }
    if (count >= 3 && strcmp(words[1], "--start") == 0) {
        for (int i = 3; i < count; i++) find(words[i]);
        for (int i = 3; i < count; i++) start(words[2], words[i]);
        while (wait(NULL) > 0) {}
        return 0;
    }
    fprintf(stderr, "usage: objects --list | --start DIRECTORY NAME... | --try NAME\n");
    return 2;
}
