/* The proof of continuity: one datagram a millisecond with boot id, counter, clock and the last acknowledged write. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

uint8_t boot_id[16];
_Atomic uint64_t beat_counter;
_Atomic uint32_t beat_ms = BEAT_PERIOD_NS / 1000000;

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void sleep_until_ns(uint64_t when)
{
    struct timespec t = {.tv_sec = (time_t)(when / 1000000000ull), .tv_nsec = (long)(when % 1000000000ull)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

void start_thread(void *(*body)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) != 0)
        abort();
}

/* Without a hardware generator the kernel needs over a second to trust its pool, and makes the boot id from it at the
 * first read. What is wanted here is an id that no other guest and no other boot has, not a secret: clock, cycle
 * counter and MAC differ. */
static void seed_random_pool(void)
{
    struct { int bits, size; uint64_t words[8]; } seed = {256, sizeof seed.words, {0}};
    struct timespec now;
    for (int i = 0; i < 6; i++) {
        clock_gettime(CLOCK_REALTIME, &now);
        seed.words[i] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ __builtin_ia32_rdtsc();
    }
    int mac = open("/sys/class/net/eth0/address", O_RDONLY | O_CLOEXEC);
    if (mac >= 0)
        (void)!read(mac, &seed.words[6], 16);
    int pool = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (pool >= 0)
        ioctl(pool, RNDADDENTROPY, &seed);
    close(mac);
    close(pool);
}

static void read_boot_id(void)
{
    char text[64] = {0};
    seed_random_pool();
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) < 36)
        abort();
    close(file);
    int digits = 0;
    for (const char *c = text; *c && digits < 32; c++) {
        if (*c == '-')
            continue;
        int value = *c <= '9' ? *c - '0' : *c - 'a' + 10;
        boot_id[digits / 2] = (uint8_t)(boot_id[digits / 2] << 4 | value);
        digits++;
    }
}

static void send_beats(void)
{
    /* Above the load threads: on one processor a late beat must mean a stopped guest, not a busy one. */
    struct sched_param priority = {.sched_priority = 10};
    sched_setscheduler(0, SCHED_FIFO, &priority);

    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in prober = {.sin_family = AF_INET, .sin_port = htons(BEAT_PORT)};
    inet_pton(AF_INET, PROBER_ADDRESS, &prober.sin_addr);

    struct beat beat = {.magic = BEAT_MAGIC, .version = 1, .size = sizeof beat};
    memcpy(beat.boot_id, boot_id, sizeof boot_id);
    uint64_t next = monotonic_ns();
    for (;;) {
        beat.counter = atomic_load(&beat_counter) + 1;
        beat.guest_ns = monotonic_ns();
        beat.acked_write = atomic_load(&acked_write);
        beat.write_errors = atomic_load(&write_errors);
        beat.memory_errors = atomic_load(&memory_errors);
        beat.pages_dirtied = atomic_load(&pages_dirtied);
        beat.load_mib = atomic_load(&load_mib);
        beat.load_mib_ready = atomic_load(&load_mib_ready);
        beat.load_mib_per_s = atomic_load(&load_mib_per_s);
        beat.writes_per_s = atomic_load(&writes_per_s);
        if (sendto(sock, &beat, sizeof beat, MSG_DONTWAIT, (struct sockaddr *)&prober, sizeof prober) == sizeof beat)
            atomic_store(&beat_counter, beat.counter);

        next += (uint64_t)atomic_load(&beat_ms) * 1000000ull;
        uint64_t now = monotonic_ns();
        if (now > next)
            next = now; /* Late beats are dropped, not sent in a burst: a burst would hide the gap's true end. */
        sleep_until_ns(next);
    }
}

int beat_main(void)
{
    read_boot_id();
    start_thread(write_ring);
    start_thread(dirty_memory);
    start_thread(burn_cpu);
    start_thread(serve_control);
    start_thread(watch_power_button);
    start_database();
    printf("godwit-guest: boot id ");
    for (int i = 0; i < 16; i++)
        printf("%02x", boot_id[i]);
    printf(", up after %.1f s\n", (double)monotonic_ns() / 1e9);
    send_beats();
    return 1;
}
