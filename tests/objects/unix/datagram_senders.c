/* A datagram socket knows who sent each of the queued messages. */
#include "datagram.h"
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
