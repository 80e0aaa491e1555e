/* Queued messages of one sender with a name, which is not connected to the receiver (sendto). */
#include "guest.h"
static int bound(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}
REFUSED("messages whose sender")
GUEST {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "receiver"}, sender = {0};
    int receiver = bound("receiver"), one = bound("one");
    MUST(sendto(one, "first", 5, 0, (struct sockaddr *)&to, sizeof to) == 5);
    ready();
    char got[64];
    socklen_t length = sizeof sender;
    CHECK(recvfrom(receiver, got, sizeof got, MSG_DONTWAIT, (struct sockaddr *)&sender, &length) == 5);
    CHECK(strcmp(sender.sun_path, "one") == 0, "it came from %s", sender.sun_path);
}
