/* The parts of the lab guest's one program. init.c is pid 1; beat.c runs in its child with a thread a part. */
#ifndef GODWIT_LAB_GUEST_H
#define GODWIT_LAB_GUEST_H

#include <stdatomic.h>
#include <stdint.h>

#include "wire.h"

int beat_main(void);

/* Set once before any thread starts. */
extern uint8_t boot_id[16];

uint64_t monotonic_ns(void);
void sleep_until_ns(uint64_t when);
void start_thread(void *(*body)(void *));

/* disk_ring.c */
void *write_ring(void *unused);
extern _Atomic uint64_t acked_write;
extern _Atomic uint64_t write_errors;
extern _Atomic uint32_t writes_per_s;

/* working_set.c */
void *dirty_memory(void *unused);
extern _Atomic uint32_t load_mib;
extern _Atomic uint32_t load_mib_ready;
extern _Atomic uint32_t load_mib_per_s;
enum { SCATTERED, SEQUENTIAL, BURSTY, PERIODIC };
extern _Atomic uint32_t load_pattern;
extern _Atomic uint64_t memory_errors;
extern _Atomic uint64_t pages_dirtied;

/* control.c */
void *serve_control(void *unused);
void *watch_power_button(void *unused);

/* database.c */
void start_database(void);
void stop_database(void);

/* beat.c */
extern _Atomic uint64_t beat_counter;
extern _Atomic uint32_t beat_ms;

/* busy.c */
void *burn_cpu(void *unused);
extern _Atomic uint32_t cpu_percent;

#endif
