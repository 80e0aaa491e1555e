/* A signal that came while its process was stopped interrupts what the process waits in, as soon as it goes on. */
#include "guest.h"
#include <sys/epoll.h>
static int *told;
static void handler(int signal) { told[0] = signal; }
static void child(void) {
    struct epoll_event got;
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    int set = epoll_create1(0);
    told[2] = 1;
    int result = epoll_wait(set, &got, 1, -1);
    told[1] = result < 0 ? errno : -1;
}
GUEST {
    told = make_shared(4096);
    pid_t pid = make_child(child);
    int status;
    while (told[2] == 0) sleep_ms(5);
    sleep_ms(50);
    MUST(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    MUST(kill(pid, SIGUSR1) == 0);
    ready();
    CHECK(told[0] == 0, "signal %d too early", told[0]);
    CHECK(kill(pid, SIGCONT) == 0);
    for (int i = 0; i < 1000 && told[1] == 0; i++) sleep_ms(10);
    CHECK(told[0] == SIGUSR1 && told[1] == EINTR, "signal %d errno %d", told[0], told[1]);
    kill(pid, SIGKILL);
}
