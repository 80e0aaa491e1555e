/* Memory that the kernel itself does not see (memfd_secret(2)). */
#include "guest.h"
REFUSED("memfd_secret")
GUEST {
    int fd = (int)syscall(SYS_memfd_secret, 0);
    MUST(fd >= 0 && ftruncate(fd, 4096) == 0);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED);
    strcpy(map, "secret");
    ready();
    CHECK(strcmp(map, "secret") == 0);
}
