/* Numbered records on the raw part of the disk. A number is acknowledged only after its write returned, so every
 * acknowledged number of the last RING_SLOTS must be on the disk, whatever happened to host or move. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

_Atomic uint64_t acked_write;
_Atomic uint64_t write_errors;
_Atomic uint32_t writes_per_s = 100;

static uint64_t checksum(const struct ring_record *record)
{
    const uint64_t *words = (const uint64_t *)record;
    uint64_t hash = CHECKSUM_START;
    for (size_t i = 0; i < RING_RECORD / 8; i++)
        hash = (hash ^ words[i]) * CHECKSUM_PRIME;
    return hash;
}

static void fill(struct ring_record *record, uint64_t sequence)
{
    uint64_t state = sequence * 0x9e3779b97f4a7c15ull | 1;
    record->magic = RING_MAGIC;
    record->sequence = sequence;
    memcpy(record->boot_id, boot_id, sizeof boot_id);
    for (size_t i = 0; i < sizeof record->body / 8; i++)
        record->body[i] = xorshift(&state);
    record->checksum = 0;
    record->checksum = checksum(record);
}

void *write_ring(void *unused)
{
    (void)unused;
    int disk = open("/dev/vda", O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    struct ring_record *record = aligned_alloc(RING_RECORD, RING_RECORD);
    if (disk < 0 || !record) {
        atomic_store(&writes_per_s, 0); /* A VM without the template's disk still beats. */
        return NULL;
    }
    uint64_t next = monotonic_ns();
    for (uint64_t sequence = 1;;) {
        uint32_t rate = atomic_load(&writes_per_s);
        if (rate > 0) {
            fill(record, sequence);
            off_t slot = (off_t)(RING_OFFSET + sequence % RING_SLOTS * RING_RECORD);
            if (pwrite(disk, record, RING_RECORD, slot) == (ssize_t)RING_RECORD)
                atomic_store(&acked_write, sequence++);
            else
                atomic_fetch_add(&write_errors, 1); /* Same number again: numbers have no holes. */
        }
        uint64_t now = monotonic_ns();
        next += 1000000000ull / (rate > 0 ? rate : 10);
        if (now > next)
            next = now;
        sleep_until_ns(next);
    }
}
