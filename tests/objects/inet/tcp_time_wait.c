/* A port whose last connection was closed a moment ago can be listened on again. */
#include "inet.h"
GUEST {
    int listener = inet_bound(SOCK_STREAM), pair[2], yes = 1;
    MUST(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 && listen(listener, 1) == 0);
    pair[0] = inet_reach(listener, SOCK_STREAM);
    pair[1] = accept(listener, NULL, NULL);
    close(listener);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    MUST(getsockname(pair[1], (struct sockaddr *)&address, &length) == 0);
    close(pair[1]);
    close(pair[0]);
    ready();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    CHECK(bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, 1) == 0);
    int client = inet_reach(fd, SOCK_STREAM);
    CHECK(client >= 0 && accept(fd, NULL, NULL) >= 0);
}
