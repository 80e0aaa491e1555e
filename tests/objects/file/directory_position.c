/* A directory that is half read is read on where it was. */
#include "guest.h"
#include <dirent.h>
GUEST {
    enum { FILES = 300 };
    char name[16];
    MUST(mkdir("d", 0755) == 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "d/%d", i);
        close(make_file(name, ""));
    }
    bool seen[FILES] = {false};
    DIR *directory = opendir("d");
    MUST(directory);
    struct dirent *entry;
    int count = 0;
    while (count < 100 && (entry = readdir(directory)))
        if (*entry->d_name != '.') seen[atoi(entry->d_name)] = true, count++;
    ready();
    while ((entry = readdir(directory)))
        if (*entry->d_name != '.') {
            CHECK(!seen[atoi(entry->d_name)], "%s came twice", entry->d_name);
            seen[atoi(entry->d_name)] = true, count++;
        }
    CHECK(count == FILES, "%d of %d", count, FILES);
}
