/* Queued messages of a sender without a name, while one with a name is connected to the receiver. */
#include "datagram.h"
REFUSED("messages whose sender")
GUEST {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "receiver"};
    int receiver = bound("receiver"), one = socket(AF_UNIX, SOCK_DGRAM, 0), two = bound("two");
    MUST(connect(two, (struct sockaddr *)&to, sizeof to) == 0);
    MUST(sendto(one, "first", 5, 0, (struct sockaddr *)&to, sizeof to) == 5);
    ready();
    expect(receiver, "first", "");
}
