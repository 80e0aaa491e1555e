/* Two open files that are one unlinked file, with different rights, stay one file. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int writer = make_file("file", "old");
    MUST(link("file", "other") == 0);
    int reader = open("other", O_RDONLY);
    MUST(reader >= 0 && unlink("file") == 0 && unlink("other") == 0);
    ready();
    CHECK(pwrite(writer, "new", 3, 0) == 3);
    CHECK(holds(reader, "new"));
    CHECK((fcntl(reader, F_GETFL) & O_ACCMODE) == O_RDONLY);
}
