/* Listening sockets by path, by abstract name and by a path that was removed: connections still arrive. */
#include "guest.h"
static int listening(const char *name, socklen_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + length) == 0);
    MUST(listen(fd, 7) == 0);
    return fd;
}
static int reach(const char *name, socklen_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + length) == 0 ? fd : -1;
}
GUEST {
    int path = listening("socket", 7), abstract = listening("\0guest\0x", 8), gone = listening("gone", 5);
    MUST(chmod("socket", 0600) == 0 && unlink("gone") == 0);
    ready();
    struct stat stat_;
    CHECK(stat("socket", &stat_) == 0 && S_ISSOCK(stat_.st_mode) && (stat_.st_mode & 07777) == 0600);
    int client = reach("socket", 7), server = accept(path, NULL, NULL);
    CHECK(client >= 0 && server >= 0 && write(client, "path", 4) == 4 && reads(server, "path"));
    client = reach("\0guest\0x", 8), server = accept(abstract, NULL, NULL);
    CHECK(client >= 0 && server >= 0 && write(client, "name", 4) == 4 && reads(server, "name"));
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    CHECK(access("gone", F_OK) != 0 && getsockname(gone, (struct sockaddr *)&address, &length) == 0);
    CHECK(strcmp(address.sun_path, "gone") == 0, "%s", address.sun_path);
}
