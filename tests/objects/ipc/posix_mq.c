/* A POSIX message queue with messages of several priorities. */
#include "guest.h"
#include <mqueue.h>
REFUSED("/guest")
GUEST {
    struct mq_attr attributes = {.mq_maxmsg = 5, .mq_msgsize = 32}, back;
    mqd_t queue = mq_open("/guest", O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
    MUST(queue >= 0 && mq_send(queue, "low", 3, 1) == 0 && mq_send(queue, "high", 4, 9) == 0);
    ready();
    char text[32];
    unsigned priority;
    CHECK(mq_getattr(queue, &back) == 0 && back.mq_maxmsg == 5 && back.mq_msgsize == 32 && back.mq_curmsgs == 2);
    CHECK(mq_receive(queue, text, 32, &priority) == 4 && priority == 9 && memcmp(text, "high", 4) == 0);
    CHECK(mq_receive(queue, text, 32, &priority) == 3 && priority == 1 && memcmp(text, "low", 3) == 0);
}
