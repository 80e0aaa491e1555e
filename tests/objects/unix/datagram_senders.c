/* A datagram socket tells who sent each of the queued messages. */
#include "guest.h"
static int bound(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}
static void expect(int fd, const char *text, const char *from) {
    char got[64];
    struct sockaddr_un sender = {0};
    socklen_t length = sizeof sender;
    ssize_t size = recvfrom(fd, got, sizeof got, MSG_DONTWAIT, (struct sockaddr *)&sender, &length);
    CHECK(size == (ssize_t)strlen(text) && memcmp(got, text, size) == 0, "%s came as %.*s", text, (int)size, got);
    CHECK(strcmp(sender.sun_path, from) == 0, "%s came from %s", text, sender.sun_path);
}
REFUSED("messages whose sender")
GUEST {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "receiver"};
    int receiver = bound("receiver"), one = bound("one"), two = bound("two");
    MUST(sendto(one, "first", 5, 0, (struct sockaddr *)&to, sizeof to) == 5);
    MUST(sendto(two, "second", 6, 0, (struct sockaddr *)&to, sizeof to) == 6);
    MUST(connect(one, (struct sockaddr *)&to, sizeof to) == 0 && send(one, "third", 5, 0) == 5);
    ready();
    expect(receiver, "first", "one");
    expect(receiver, "second", "two");
    expect(receiver, "third", "one");
    CHECK(send(one, "again", 5, 0) == 5);
    expect(receiver, "again", "one");
}
