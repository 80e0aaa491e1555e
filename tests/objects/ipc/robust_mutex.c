/* A robust mutex held by a process that dies after the resume: the next one is told. */
#include "guest.h"
static pthread_mutex_t *mutex;
static volatile int *held;
static void holds_it(void) {
    pthread_mutex_lock(mutex);
    *held = 1;
}
GUEST {
    pthread_mutexattr_t attributes;
    mutex = make_shared(4096);
    held = (int *)((char *)mutex + 2048);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
    pid_t child = make_child(holds_it);
    for (int i = 0; i < 1000 && !*held; i++) sleep_ms(5);
    ready();
    CHECK(pthread_mutex_trylock(mutex) == EBUSY);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD);
}
