/* An address that the session's root has given to the loopback, and a route. */
#include "inet.h"
#include <net/if.h>
AS_ROOT
GUEST {
    struct ifreq request = {.ifr_name = "lo:7"};
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(0x0a010203);
    MUST(ioctl(fd, SIOCSIFADDR, &request) == 0);
    ready();
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a010203)};
    CHECK(bind(fd, (struct sockaddr *)&there, sizeof there) == 0, "the address is gone");
}
