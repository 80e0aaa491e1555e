/* A segment in the local descriptor table (modify_ldt(2); Wine has them for programs of 16 and 32 bits). */
#include "guest.h"
#include <asm/ldt.h>
REFUSED("modify_ldt")
GUEST {
    static int value = 4711;
    struct user_desc descriptor = {.entry_number = 3, .base_addr = 0x1000, .limit = 0xfff, .seg_32bit = 1, .useable = 1};
    (void)value;
    MUST(syscall(SYS_modify_ldt, 1, &descriptor, sizeof descriptor) == 0);
    ready();
    uint64_t table[8] = {0};
    long size = syscall(SYS_modify_ldt, 0, table, sizeof table);
    CHECK(size >= 32 && table[3] != 0, "the table has %ld bytes", size);
}
