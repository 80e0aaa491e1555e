/* A datagram socket with queued messages, kept apart, in order, with their sender's name. */
#include "datagram.h"
GUEST {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "receiver"};
    int receiver = bound("receiver"), one = bound("one");
    MUST(sendto(one, "first", 5, 0, (struct sockaddr *)&to, sizeof to) == 5);
    MUST(sendto(one, "second", 6, 0, (struct sockaddr *)&to, sizeof to) == 6);
    MUST(connect(one, (struct sockaddr *)&to, sizeof to) == 0 && send(one, "third", 5, 0) == 5);
    ready();
    expect(receiver, "first", "one");
    expect(receiver, "second", "one");
    expect(receiver, "third", "one");
    CHECK(send(one, "again", 5, 0) == 5);
    expect(receiver, "again", "one");
}
