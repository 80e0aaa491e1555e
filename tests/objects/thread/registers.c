/* A thread that computes all the while, in floating-point and vector registers, computes what it should. */
#include "guest.h"
static volatile bool end;
static volatile long wrong, rounds;
static void *compute(void *unused) {
    typedef long vector __attribute__((vector_size(32)));
    while (!end) {
        vector a = {1, 2, 3, 4}, b = {5, 6, 7, 8}, sum = {0};
        double x = 0;
        for (int i = 0; i < 100000; i++) {
            sum += a ^ b;
            x += 0.5;
            __asm__ volatile("" : "+m"(a), "+m"(b), "+m"(x));
        }
        if (sum[0] != 400000 || sum[1] != 400000 || sum[2] != 400000 || sum[3] != 1200000 || x != 50000) wrong++;
        rounds++;
    }
    return unused;
}
#ifdef __x86_64__
/* Holds a value in ymm8 over the whole wait, without any call. */
__attribute__((target("avx"))) static void *hold(void *flag) {
    long in[4] = {11, 22, 33, 44}, out[4] = {0};
    __asm__ volatile(
        "vmovdqu %1, %%ymm8\n"
        "1: pause\n cmpb $0, (%2)\n je 1b\n"
        "vmovdqu %%ymm8, %0\n" : "=m"(out) : "m"(in), "r"(flag) : "ymm8", "memory", "cc");
    return (void *)(intptr_t)(memcmp(in, out, sizeof in) == 0 ? 0 : 1);
}
#endif
GUEST {
    pthread_t threads[2];
    nice(19);
    MUST(pthread_create(&threads[0], NULL, compute, NULL) == 0);
#ifdef __x86_64__
    bool avx = __builtin_cpu_supports("avx");
    if (avx) MUST(pthread_create(&threads[1], NULL, hold, (void *)&end) == 0);
#endif
    ready();
    long before = rounds;
    while (rounds < before + 3) sleep_ms(5);
    end = true;
    pthread_join(threads[0], NULL);
    CHECK(wrong == 0, "%ld of %ld rounds", wrong, rounds);
#ifdef __x86_64__
    void *outcome = NULL;
    if (avx) pthread_join(threads[1], &outcome);
    CHECK(outcome == NULL, "a vector register");
#endif
}
