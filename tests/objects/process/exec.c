/* A program that was replaced on disk since it was started runs on. */
#include "guest.h"
static volatile int *alive;
GUEST {
    char block[65536];
    alive = make_shared(4096);
    int from = open("/proc/self/exe", O_RDONLY), to = open("program", O_WRONLY | O_CREAT, 0755);
    ssize_t length;
    MUST(from >= 0 && to >= 0);
    while ((length = read(from, block, sizeof block)) > 0) MUST(write(to, block, length) == length);
    close(to);
    int pipes[2];
    MUST(pipe(pipes) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        execl("./program", "program", "--sleep", (char *)NULL);
        _exit(1);
    }
    close(pipes[1]);
    char byte;
    MUST(read(pipes[0], &byte, 1) == 1 && unlink("program") == 0);
    ready();
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(read(pipes[0], &byte, 1) == 1 && byte == 't', "it does not run on");
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}
