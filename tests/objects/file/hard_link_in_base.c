/* The same with a file that came with the base: it has another name, and the one that it was opened by is removed. */
#include "guest.h"
AS_ROOT
GUEST {
    int a = open("/etc/issue.net", O_RDWR);
    MUST(a >= 0 && link("/etc/issue.net", "b") == 0 && unlink("/etc/issue.net") == 0);
    ready();
    int b = open("b", O_WRONLY | O_TRUNC);
    CHECK(b >= 0 && write(b, "after", 5) == 5);
    CHECK(holds(a, "after"));
    CHECK(access("/etc/issue.net", F_OK) != 0);
}
