/* A memfd with its name, its seals and a mapping. */
#include "guest.h"
GUEST {
    int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    MUST(fd >= 0 && ftruncate(fd, 8192) == 0 && pwrite(fd, "memory", 6, 0) == 6);
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    map[4096] = 'm';
    ready();
    char text[64] = "", byte;
    CHECK(pread(fd, text, 6, 0) == 6 && memcmp(text, "memory", 6) == 0);
    CHECK(pread(fd, &byte, 1, 4096) == 1 && byte == 'm' && map[4096] == 'm');
    CHECK(pwrite(fd, "M", 1, 0) == 1 && map[0] == 'M', "file and mapping have parted");
    CHECK(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW), "seals %#x", fcntl(fd, F_GET_SEALS));
    char path[32], target[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(readlink(path, target, sizeof target - 1) > 0 && strncmp(target, "/memfd:guest", 12) == 0, "%s", target);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
}
