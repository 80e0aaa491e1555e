/* Asynchronous I/O (io_setup(2)) with an event that was not fetched. */
#include "guest.h"
#include <linux/aio_abi.h>
GUEST {
    aio_context_t context = 0;
    int fd = make_file("file", "0123456789");
    char text[8] = "";
    struct iocb read = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uint64_t)text, .aio_nbytes = 4};
    struct iocb *list[] = {&read};
    read.aio_data = 4711;
    MUST(syscall(SYS_io_setup, 8, &context) == 0 && syscall(SYS_io_submit, context, 1, list) == 1);
    sleep_ms(50);
    ready();
    struct io_event event = {0};
    struct timespec limit = {2, 0};
    CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, &limit) == 1, "the event is gone");
    CHECK(event.data == 4711 && event.res == 4 && memcmp(text, "0123", 4) == 0, "%lld", (long long)event.res);
    read.aio_offset = 4;
    CHECK(syscall(SYS_io_submit, context, 1, list) == 1);
    CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, &limit) == 1 && memcmp(text, "4567", 4) == 0);
}
