/* A connection that waits to be accepted, with data in it. */
#include "guest.h"
REFUSED("a connection waits for it")
GUEST {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 5) == 0);
    MUST(connect(client, (struct sockaddr *)&address, sizeof address) == 0 && write(client, "hello", 5) == 5);
    ready();
    int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    CHECK(server >= 0);
    CHECK(reads(server, "hello"));
    CHECK(write(server, "back", 4) == 4 && reads(client, "back"));
}
