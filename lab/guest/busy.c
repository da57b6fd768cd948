/* A processor kept busy for a share of its time: work is measured once, at its quickest, and asked for in pieces of 200 ms, so that
 * a guest whose host gives it little still asks for as much. */
#include "guest.h"

_Atomic uint32_t cpu_percent;

enum { ROUNDS = 20000, TRIALS = 40 };
static const uint64_t period = 200000000;

static void one_piece(void)
{
    for (volatile uint32_t i = 0; i < ROUNDS; i++)
        ;
}

static uint64_t quickest_piece_ns(void)
{
    uint64_t quickest = UINT64_MAX;
    for (int i = 0; i < TRIALS; i++) {
        uint64_t before = monotonic_ns();
        one_piece();
        uint64_t took = monotonic_ns() - before;
        if (took < quickest)
            quickest = took;
    }
    return quickest > 0 ? quickest : 1;
}

void *burn_cpu(void *unused)
{
    (void)unused;
    uint64_t piece = 0;
    for (uint64_t next = monotonic_ns();;) {
        uint32_t percent = atomic_load(&cpu_percent);
        if (percent > 0 && piece == 0)
            piece = quickest_piece_ns(); /* At the first order: a boot has other work. */
        for (uint64_t left = percent > 0 ? period / 100 * percent / piece : 0; left > 0; left--)
            one_piece();
        next += period;
        uint64_t now = monotonic_ns();
        if (now > next)
            next = now; /* What was not given is not caught up with. */
        sleep_until_ns(next);
    }
}
