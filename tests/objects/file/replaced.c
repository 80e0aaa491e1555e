/* As editors save: a new file was renamed over one that somebody still has open. */
#include "guest.h"
ON_TMPFS_TOO
GUEST {
    int old = make_file("file", "old");
    int new = make_file("file.new", "new");
    MUST(rename("file.new", "file") == 0);
    ready();
    CHECK(holds(old, "old"));
    CHECK(holds(new, "new") && file_holds("file", "new"));
    CHECK(pwrite(new, "NEW", 3, 0) == 3 && file_holds("file", "NEW"));
}
