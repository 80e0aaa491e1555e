/* POSIX shared memory and named semaphores, both still open by name. */
#include "guest.h"
#include <semaphore.h>
GUEST {
    int fd = shm_open("/guest", O_RDWR | O_CREAT | O_EXCL, 0600);
    MUST(fd >= 0 && ftruncate(fd, 4096) == 0);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sem_t *semaphore = sem_open("/guest", O_CREAT | O_EXCL, 0600, 3);
    MUST(map != MAP_FAILED && semaphore != SEM_FAILED);
    strcpy(map, "shared");
    ready();
    int value, other = shm_open("/guest", O_RDONLY, 0);
    CHECK(other >= 0 && strcmp(map, "shared") == 0);
    map[0] = 'S';
    char text[6];
    CHECK(pread(other, text, 6, 0) == 6 && memcmp(text, "Shared", 6) == 0);
    CHECK(sem_getvalue(semaphore, &value) == 0 && value == 3);
    sem_t *again = sem_open("/guest", 0);
    CHECK(again != SEM_FAILED && sem_wait(again) == 0 && sem_getvalue(semaphore, &value) == 0 && value == 2);
}
