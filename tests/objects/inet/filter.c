/* A filter on a socket (SO_ATTACH_FILTER), and one that is locked. */
#include "inet.h"
#include <linux/filter.h>
GUEST {
    struct sock_filter code[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 8}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'y'},
                                 {BPF_RET | BPF_K, 0, 0, 0xffff}, {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog program = {4, code};
    int one = 1, fd = inet_bound(SOCK_DGRAM);
    MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof one) == 0);
    int from = inet_reach(fd, SOCK_DGRAM);
    ready();
    char byte = 0;
    CHECK(send(from, "n", 1, 0) == 1 && send(from, "y", 1, 0) == 1);
    CHECK(recv(fd, &byte, 1, 0) == 1 && byte == 'y', "%c came", byte);
    int locked = 0;
    socklen_t length = sizeof locked;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &length) == 0 && locked == 1, "the lock");
}
