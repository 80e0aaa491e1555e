/* A watcher that was stopped by SIGSTOP while events arrive reads them when it goes on. */
#include "watch.h"
static struct watch_reader reader;
static volatile int *got;
static void child(void) {
    struct pollfd fd = {reader.fd, POLLIN, 0};
    for (;;) {
        char buffer[4096];
        if (poll(&fd, 1, 1000) > 0 && (*got = read(reader.fd, buffer, sizeof buffer)) > 0) return;
    }
}
GUEST {
    int status;
    got = make_shared(4096);
    reader.fd = watch_init();
    MUST(mkdir("d", 0755) == 0);
    watch_add(reader.fd, "d", IN_CREATE);
    pid_t pid = make_child(child);
    MUST(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid);
    close(make_file("d/one", ""));
    close(make_file("d/two", ""));
    ready();
    CHECK(*got == 0);
    kill(pid, SIGCONT);
    for (int i = 0; i < 1000 && !*got; i++) sleep_ms(5);
    CHECK(*got == 2 * (int)(sizeof(struct inotify_event) + 16), "%d bytes", *got);
}
