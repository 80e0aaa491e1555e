/* A writer that waits for room in a full pipe, and a reader that waits for data in an empty one, are not interrupted. */
#include "guest.h"
static int full[2], empty[2];
static char result;
static void *writer(void *unused) {
    char block[65536] = {0};
    (void)unused;
    return (void *)(intptr_t)(write(full[1], block, sizeof block) == sizeof block ? 0 : errno ? errno : -1);
}
static void *reader(void *unused) {
    (void)unused;
    errno = 0;
    return (void *)(intptr_t)(read(empty[0], &result, 1) == 1 ? 0 : errno ? errno : -1);
}
GUEST {
    pthread_t threads[2];
    void *outcome;
    MUST(pipe(full) == 0 && pipe(empty) == 0);
    char block[65536] = {1};
    MUST(write(full[1], block, sizeof block) == sizeof block);
    MUST(pthread_create(&threads[0], NULL, writer, NULL) == 0 && pthread_create(&threads[1], NULL, reader, NULL) == 0);
    sleep_ms(50);
    ready();
    for (size_t got = 0; got < 2 * sizeof block;) {
        ssize_t more = read(full[0], block, sizeof block);
        CHECK(more > 0);
        got += more;
    }
    CHECK(pthread_join(threads[0], &outcome) == 0 && outcome == NULL, "writing: errno %d", (int)(intptr_t)outcome);
    CHECK(write(empty[1], "x", 1) == 1);
    CHECK(pthread_join(threads[1], &outcome) == 0 && outcome == NULL, "reading: errno %d", (int)(intptr_t)outcome);
    CHECK(result == 'x');
}
