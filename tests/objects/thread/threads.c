/* Threads: names, affinities, thread-local storage, ids, signal masks. */
#include "guest.h"
static __thread int own;
static volatile bool go;
static int bad[8];
static pid_t ids[8];
static void *play(void *number) {
    int i = (int)(intptr_t)number;
    char name[16], back[16];
    snprintf(name, sizeof name, "thread-%d", i);
    pthread_setname_np(pthread_self(), name);
    cpu_set_t cpus, seen;
    CPU_ZERO(&cpus);
    CPU_SET(i % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN + i);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    own = 1000 + i;
    ids[i] = gettid();
    while (!go) sleep_ms(5);
    pthread_getname_np(pthread_self(), back, sizeof back);
    if (strcmp(name, back) != 0) bad[i] |= 1;
    if (sched_getaffinity(0, sizeof seen, &seen) != 0 || !CPU_EQUAL(&cpus, &seen)) bad[i] |= 2;
    if (own != 1000 + i) bad[i] |= 4;
    if (gettid() != ids[i]) bad[i] |= 8;
    sigset_t now;
    if (pthread_sigmask(SIG_BLOCK, NULL, &now) != 0 || !sigismember(&now, SIGRTMIN + i)) bad[i] |= 16;
    return NULL;
}
GUEST {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) MUST(pthread_create(&threads[i], NULL, play, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < 8; i++) while (!*(volatile pid_t *)&ids[i]) sleep_ms(1);
    ready();
    go = true;
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) CHECK(bad[i] == 0, "thread %d: bits %d", i, bad[i]);
}
