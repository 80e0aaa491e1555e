/* A process hears nothing of being saved: no signal, no child's state, no call that is interrupted. */
#include "guest.h"
#include <semaphore.h>
#include <sys/select.h>
static volatile int heard;
static int never[2], error[3];
static sem_t go;
static void handler(int signal) { heard = signal; }
static void *in_select(void *unused) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(never[0], &set);
    error[0] = select(never[0] + 1, &set, NULL, NULL, NULL) == 1 ? 0 : errno;
    return unused;
}
static void *in_semaphore(void *unused) {
    error[1] = sem_wait(&go) == 0 ? 0 : errno;
    return unused;
}
static void *in_recv(void *pair) {
    char byte;
    error[2] = recv(*(int *)pair, &byte, 1, 0) == 1 ? 0 : errno;
    return NULL;
}
GUEST {
    static const char *const names[] = {"select", "sem_wait", "recv"};
    void *(*calls[])(void *) = {in_select, in_semaphore, in_recv};
    int pair[2];
    pthread_t threads[3];
    MUST(pipe(never) == 0 && sem_init(&go, 0, 0) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    for (int i = 0; i < 3; i++) MUST(pthread_create(&threads[i], NULL, calls[i], &pair[0]) == 0);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action = {.sa_handler = handler};
        sigaction(signal, &action, NULL);
    }
    pid_t pid = getpid(), parent = getppid();
    sleep_ms(50);
    ready();
    CHECK(getpid() == pid && getppid() == parent);
    CHECK(heard == 0, "signal %d", heard);
    CHECK(write(never[1], "x", 1) == 1 && sem_post(&go) == 0 && write(pair[1], "x", 1) == 1);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK(error[i] == 0, "%s: errno %d", names[i], error[i]);
    }
    CHECK(heard == 0, "signal %d", heard);
}
