/* A mutex and a condition variable between processes: one waits for each over the save. */
#include "guest.h"
struct shared {
    pthread_mutex_t mutex, other;
    pthread_cond_t condition;
    int go, woken, locked;
};
static struct shared *shared;
static void waits(void) {
    pthread_mutex_lock(&shared->mutex);
    while (!shared->go) pthread_cond_wait(&shared->condition, &shared->mutex);
    shared->woken = 1;
    pthread_mutex_unlock(&shared->mutex);
}
static void locks(void) {
    pthread_mutex_lock(&shared->other);
    shared->locked = 1;
    pthread_mutex_unlock(&shared->other);
}
GUEST {
    pthread_mutexattr_t of_mutex;
    pthread_condattr_t of_condition;
    shared = make_shared(sizeof *shared);
    pthread_mutexattr_init(&of_mutex);
    pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED);
    pthread_condattr_init(&of_condition);
    pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&shared->mutex, &of_mutex);
    pthread_mutex_init(&shared->other, &of_mutex);
    pthread_cond_init(&shared->condition, &of_condition);
    pthread_mutex_lock(&shared->other);
    make_child(waits);
    make_child(locks);
    sleep_ms(50);
    ready();
    CHECK(!shared->woken && !shared->locked);
    pthread_mutex_lock(&shared->mutex);
    shared->go = 1;
    pthread_cond_broadcast(&shared->condition);
    pthread_mutex_unlock(&shared->mutex);
    pthread_mutex_unlock(&shared->other);
    for (int i = 0; i < 1000 && !(shared->woken && shared->locked); i++) sleep_ms(5);
    CHECK(shared->woken, "the waiter on the condition");
    CHECK(shared->locked, "the waiter on the mutex");
}
