/* Restartable sequences stay registered: the kernel keeps the number of the processor up to date. */
#include "guest.h"
#include <sys/rseq.h>
GUEST {
    volatile struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    MUST(__rseq_size > 0 && area->cpu_id < 4096);
    ready();
    for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(cpu, &cpus);
        CHECK(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
        CHECK(area->cpu_id == (unsigned)cpu, "on %d, it says %u", cpu, area->cpu_id);
    }
}
