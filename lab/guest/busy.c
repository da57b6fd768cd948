/* A processor kept busy for a share of each 200 ms: load that costs what it says, whatever the memory does. */
#include "guest.h"

_Atomic uint32_t cpu_percent;

void *burn_cpu(void *unused)
{
    (void)unused;
    const uint64_t period = 200000000;
    for (uint64_t next = monotonic_ns();;) {
        uint64_t until = next + period / 100 * atomic_load(&cpu_percent);
        /* The clock is asked seldom: asking is a trap out of the guest, and the work is to be the guest's own. */
        while (monotonic_ns() < until)
            for (volatile uint32_t i = 0; i < 20000; i++)
                ;
        next += period;
        uint64_t now = monotonic_ns();
        if (now > next)
            next = now; /* What was not given is not caught up with. */
        sleep_until_ns(next);
    }
}
