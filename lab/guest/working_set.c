/* A working set that is dirtied at a steady rate and checks itself: before a page is written anew its old content is
 * compared with what this guest put there, so a page lost, torn or swapped by a move is counted. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"

_Atomic uint32_t load_mib;
_Atomic uint32_t load_mib_ready;
_Atomic uint32_t load_mib_per_s;
_Atomic uint32_t load_pattern;
_Atomic uint64_t memory_errors;
_Atomic uint64_t pages_dirtied;

enum { WORDS = 4096 / 8, PAGES_PER_MIB = 256 };
enum { BURST_MS = 200, BURSTS_EVERY_MS = 1000, HALF_PERIOD_MS = 10000 };

static uint64_t *pages;       /* page p is pages[p * WORDS …] */
static uint32_t *generations; /* how often page p was written; the second witness of its content */
static uint64_t page_count;

static uint64_t page_seed(uint64_t page)
{
    uint64_t seed = page * 0x9e3779b97f4a7c15ull ^ (uint64_t)generations[page] * 0xc2b2ae3d27d4eb4full;
    seed ^= *(const uint64_t *)boot_id; /* Else two guests would hold the same pages, a gift to deduplication. */
    return seed ? seed : 1;
}

static void write_page(uint64_t page)
{
    uint64_t state = page_seed(page), *word = pages + page * WORDS;
    for (int i = 0; i < WORDS; i++)
        word[i] = xorshift(&state);
}

static int page_is_intact(uint64_t page)
{
    uint64_t state = page_seed(page), difference = 0;
    const uint64_t *word = pages + page * WORDS;
    for (int i = 0; i < WORDS; i++)
        difference |= word[i] ^ xorshift(&state);
    return difference == 0;
}

/* All pages are touched before dirtying begins: the guest's size is the same in every run. */
static void resize(uint32_t mib)
{
    if (pages)
        munmap(pages, page_count * 4096);
    free(generations);
    pages = NULL;
    generations = NULL;
    page_count = 0;
    atomic_store(&load_mib_ready, 0);
    if (mib == 0)
        return;
    void *memory = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    generations = calloc((size_t)mib * PAGES_PER_MIB, sizeof *generations);
    if (memory == MAP_FAILED || !generations)
        abort(); /* Asked for more than the guest has: a new boot id, seen by every test. */
    pages = memory;
    page_count = (uint64_t)mib * PAGES_PER_MIB;
    for (uint64_t page = 0; page < page_count && atomic_load(&load_mib) == mib; page++) {
        write_page(page);
        if ((page + 1) % PAGES_PER_MIB == 0)
            atomic_store(&load_mib_ready, (uint32_t)((page + 1) / PAGES_PER_MIB));
    }
}

/* Every page once a sweep: one after the other, or in an order without runs, a whole-cycle walk whose step is a prime that
 * does not divide the count. */
static uint64_t next_page(uint64_t page)
{
    static const uint64_t steps[] = {7919, 104729, 15485863};
    if (atomic_load(&load_pattern) == SEQUENTIAL)
        return (page + 1) % page_count;
    for (int i = 0; i < 3; i++)
        if (page_count % steps[i] != 0)
            return (page + steps[i]) % page_count;
    return (page + 1) % page_count;
}

static void dirty(uint64_t *page, uint64_t count)
{
    for (; count > 0; count--) {
        if (!page_is_intact(*page))
            atomic_fetch_add(&memory_errors, 1);
        generations[*page]++;
        write_page(*page);
        atomic_fetch_add(&pages_dirtied, 1);
        *page = next_page(*page);
    }
}

/* The mean over a whole period is the rate that was asked for, whatever the pattern. */
static uint64_t mib_per_s_at(uint64_t now_ns)
{
    uint64_t mean = atomic_load(&load_mib_per_s), ms = now_ns / 1000000;
    switch (atomic_load(&load_pattern)) {
    case BURSTY:
        return ms % BURSTS_EVERY_MS < BURST_MS ? mean * BURSTS_EVERY_MS / BURST_MS : 0;
    case PERIODIC:
        return ms % (2 * HALF_PERIOD_MS) < HALF_PERIOD_MS ? 2 * mean : 0;
    default:
        return mean;
    }
}

void *dirty_memory(void *unused)
{
    (void)unused;
    const uint64_t tick = 10000000, idle_tick = 100000000; /* 10 ms; 100 ms while there is nothing to dirty */
    uint64_t page = 0, owed = 0, next = monotonic_ns();
    for (uint32_t size = 0;;) {
        if (atomic_load(&load_mib) != size) {
            resize(size = atomic_load(&load_mib));
            page = owed = 0;
            next = monotonic_ns();
        }
        if (page_count > 0) {
            owed += mib_per_s_at(next) * PAGES_PER_MIB; /* in hundredths of a page, 100 ticks a s */
            dirty(&page, owed / 100);
            owed %= 100;
        }
        next += page_count > 0 ? tick : idle_tick;
        uint64_t now = monotonic_ns();
        if (now > next + 5 * tick)
            next = now; /* Never catch up more than 50 ms: a slow host must not turn into a burst of writes. */
        sleep_until_ns(next);
    }
}
