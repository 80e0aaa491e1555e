/* A shell's life: a session with a controlling terminal, a job in the foreground, one that is stopped, one behind. */
#include "guest.h"
#include <pty.h>
#include <termios.h>
static int *told;
static volatile int interrupted;
static void note(int signal) { interrupted = signal; }
static pid_t job(void) {
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        setpgid(0, 0);
        signal(SIGINT, note);
        for (;;) {
            pause();
            if (interrupted) told[5] = getpid(), interrupted = 0;
        }
    }
    setpgid(pid, pid);
    return pid;
}
GUEST {
    int master, slave, status;
    told = make_shared(4096);
    MUST(openpty(&master, &slave, NULL, NULL, NULL) == 0);
    pid_t shell = fork();
    MUST(shell >= 0);
    if (shell == 0) {
        setsid();
        MUST(ioctl(slave, TIOCSCTTY, 0) == 0);
        signal(SIGTTOU, SIG_IGN);
        pid_t front = job(), stopped = job(), behind = job();
        sleep_ms(30);
        kill(stopped, SIGSTOP);
        waitpid(stopped, &status, WUNTRACED);
        MUST(tcsetpgrp(slave, front) == 0);
        told[1] = front, told[2] = stopped, told[3] = behind;
        told[0] = 1;
        for (;;) {
            if (told[0] == 2) {
                told[4] = getsid(0) == getpid() && tcgetpgrp(slave) == front && getpgid(stopped) == stopped
                    && getpgid(behind) == behind
                    && open("/dev/tty", O_RDWR) >= 0 ? 1 : -1;
                told[0] = 3;
            }
            sleep_ms(5);
        }
    }
    for (int i = 0; i < 1000 && told[0] != 1; i++) sleep_ms(5);
    MUST(told[0] == 1);
    close(slave);
    ready();
    told[0] = 2;
    for (int i = 0; i < 1000 && told[0] != 3; i++) sleep_ms(5);
    CHECK(told[4] == 1, "the shell does not find its jobs as they were: %d", told[4]);
    char state[64];
    snprintf(state, sizeof state, "%s", proc_value(told[2], "status", "State"));
    CHECK(*state == 'T', "the stopped job is %s", state);
    CHECK(write(master, "\x03", 1) == 1);
    for (int i = 0; i < 1000 && !told[5]; i++) sleep_ms(5);
    CHECK(told[5] == told[1], "^C reached %d, not %d", told[5], told[1]);
    for (int i = 1; i < 4; i++) kill(told[i], SIGKILL);
    kill(shell, SIGKILL);
}
