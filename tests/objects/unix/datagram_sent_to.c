/* Queued messages of one sender with a name, which is not connected to the receiver (sendto). */
#include "datagram.h"
REFUSED("messages whose sender")
GUEST {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "receiver"};
    int receiver = bound("receiver"), one = bound("one");
    MUST(sendto(one, "first", 5, 0, (struct sockaddr *)&to, sizeof to) == 5);
    ready();
    expect(receiver, "first", "one");
}
