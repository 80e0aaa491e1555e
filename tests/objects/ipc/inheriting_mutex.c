/* A mutex that lends its holder the waiter's priority (PTHREAD_PRIO_INHERIT), held and waited for. */
#include "guest.h"
static struct shared { pthread_mutex_t mutex; volatile int step; } *shared;
static void child(void) {
    shared->step = 1;
    if (pthread_mutex_lock(&shared->mutex) == 0) shared->step = 2;
}
GUEST {
    shared = make_shared(sizeof *shared);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    MUST(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    MUST(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    MUST(pthread_mutex_init(&shared->mutex, &attributes) == 0 && pthread_mutex_lock(&shared->mutex) == 0);
    make_child(child);
    while (shared->step != 1) sleep_ms(5);
    sleep_ms(50);
    ready();
    CHECK(shared->step == 1, "it was not held");
    CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
    for (int i = 0; i < 1000 && shared->step != 2; i++) sleep_ms(5);
    CHECK(shared->step == 2, "the waiter does not get it");
}
