/* What the lab guest says to the prober and writes to its disk. Shared by guest, prober and, field by field,
 * Godwit.Cli/Lab/GuestDisk.cs. All integers little-endian; both sides are x86-64, so plain structs are the format. */
#ifndef GODWIT_LAB_WIRE_H
#define GODWIT_LAB_WIRE_H

#include <stdint.h>

/* The LAN: guests are 10.77.x.y from the last two bytes of their MAC, the prober has the last address. */
#define LAN_NETMASK "255.255.0.0"
#define PROBER_ADDRESS "10.77.255.254"
#define BEAT_PORT 7700    /* guest -> prober */
#define CONTROL_PORT 7701 /* anyone -> guest, one text command a datagram, one text line back */

#define BEAT_MAGIC 0x31425747u /* "GWB1" */
/* Unless "beats MS" asked for slower ones: then no silence shorter than that says anything. Counters mean the same. */
#define BEAT_PERIOD_NS 1000000L

struct beat {
    uint32_t magic;
    uint16_t version; /* 1 */
    uint16_t size;    /* sizeof(struct beat) */
    uint8_t boot_id[16];
    uint64_t counter;       /* 1, 2, 3 … for as long as this boot lives; grows only when a beat was sent */
    uint64_t guest_ns;      /* the guest's CLOCK_MONOTONIC: stands still while the guest is stopped */
    uint64_t acked_write;   /* highest disk sequence whose write returned; all below returned too */
    uint64_t write_errors;
    uint64_t memory_errors; /* pages of the working set whose content was not what this guest had put there */
    uint64_t pages_dirtied;
    uint32_t load_mib;       /* working set asked for */
    uint32_t load_mib_ready; /* of it filled; dirtying begins when all is */
    uint32_t load_mib_per_s;
    uint32_t writes_per_s;
};
_Static_assert(sizeof(struct beat) == 88, "the prober and the guest are built apart");

/* The ring of records on the raw part of /dev/vda, behind the boot partition. */
#define RING_OFFSET (64ull << 20)
#define RING_SLOTS 4096u
#define RING_RECORD 4096u
#define RING_MAGIC 0x31474e4952574721ull

struct ring_record {
    uint64_t magic;
    uint64_t sequence; /* 1, 2, 3 … per boot; lives in slot sequence % RING_SLOTS */
    uint8_t boot_id[16];
    uint64_t checksum; /* over the whole record with this field 0: h = (h ^ word) * 0x100000001b3, h0 below */
    uint64_t body[(RING_RECORD - 40) / 8];
};
_Static_assert(sizeof(struct ring_record) == RING_RECORD, "one record, one block");

#define CHECKSUM_START 0xcbf29ce484222325ull
#define CHECKSUM_PRIME 0x100000001b3ull

static inline uint64_t xorshift(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

#endif
