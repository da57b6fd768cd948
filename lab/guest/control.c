/* Orders from the lab: one text datagram, one line back. And the ACPI power button, which must end the guest. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

enum { LOAD_MIB_MAX = 65536, RATE_MAX = 100000, WRITES_MAX = 5000, BEAT_MS_MAX = 1000, BUTTONS_MAX = 8 };

static int describe(char *line, size_t size)
{
    int n = snprintf(line, size, "ok boot=");
    for (int i = 0; i < 16; i++)
        n += snprintf(line + n, size - (size_t)n, "%02x", boot_id[i]);
    return n + snprintf(line + n, size - (size_t)n,
        " counter=%llu acked=%llu mono_ns=%llu load_mib=%u ready_mib=%u mib_per_s=%u writes_per_s=%u"
        " memory_errors=%llu write_errors=%llu beat_ms=%u cpu_percent=%u",
        (unsigned long long)beat_counter, (unsigned long long)acked_write, (unsigned long long)monotonic_ns(),
        load_mib, load_mib_ready, load_mib_per_s, writes_per_s,
        (unsigned long long)memory_errors, (unsigned long long)write_errors, beat_ms, cpu_percent);
}

/* As any init does before it ends the kernel. Linux 6.1 breaks the queues of virtio devices at shutdown; a beat that is
 * sent into a broken one spins in the driver for ever, and with one processor the guest never gets to its reboot. */
static void leave_network(void)
{
    struct ifreq request = {.ifr_name = "eth0"};
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock >= 0 && ioctl(sock, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags &= ~IFF_UP;
        ioctl(sock, SIOCSIFFLAGS, &request);
    }
}

static void end(int how)
{
    atomic_store(&writes_per_s, 0);
    stop_database();
    usleep(20000); /* the write under way, and the answer to whoever asked */
    leave_network();
    reboot(how);
}

static void crash(void)
{
    usleep(20000);
    int trigger = open("/proc/sysrq-trigger", O_WRONLY);
    if (trigger >= 0)
        (void)!write(trigger, "c", 1);
    reboot(RB_AUTOBOOT);
}

/* -1: not known. */
static int pattern_of(const char *word)
{
    static const char *const words[] = {[SCATTERED] = "", [SEQUENTIAL] = "sequential", [BURSTY] = "bursty", [PERIODIC] = "periodic"};
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

/* 1: answer, then do; 0: done; -1: not understood. */
static int obey(const char *order)
{
    unsigned a, b;
    char word[16] = "";
    if (strncmp(order, "ping", 4) == 0)
        return 0;
    if (sscanf(order, "load %u %u %15s", &a, &b, word) >= 2 && a <= LOAD_MIB_MAX && b <= RATE_MAX && pattern_of(word) >= 0) {
        atomic_store(&load_pattern, (uint32_t)pattern_of(word));
        atomic_store(&load_mib_per_s, b);
        atomic_store(&load_mib, a);
        return 0;
    }
    if (sscanf(order, "writes %u", &a) == 1 && a <= WRITES_MAX) {
        atomic_store(&writes_per_s, a);
        return 0;
    }
    if (sscanf(order, "beats %u", &a) == 1 && a >= 1 && a <= BEAT_MS_MAX) {
        atomic_store(&beat_ms, a);
        return 0;
    }
    if (sscanf(order, "cpu %u", &a) == 1 && a <= 100) {
        atomic_store(&cpu_percent, a);
        return 0;
    }
    if (strncmp(order, "panic", 5) == 0 || strncmp(order, "reboot", 6) == 0 || strncmp(order, "poweroff", 8) == 0)
        return 1;
    return -1;
}

void *serve_control(void *unused)
{
    (void)unused;
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(CONTROL_PORT)};
    if (bind(sock, (struct sockaddr *)&here, sizeof here) != 0)
        abort();
    for (;;) {
        char order[128], answer[512];
        struct sockaddr_in asker;
        socklen_t length = sizeof asker;
        ssize_t n = recvfrom(sock, order, sizeof order - 1, 0, (struct sockaddr *)&asker, &length);
        if (n <= 0)
            continue;
        order[n] = 0;
        int understood = obey(order);
        int size = understood >= 0
            ? describe(answer, sizeof answer)
            : snprintf(answer, sizeof answer, "error: load MIB MIB_PER_S [sequential|bursty|periodic] | writes PER_S | beats MS | cpu PERCENT"
                " | ping | panic | reboot | poweroff");
        sendto(sock, answer, (size_t)size, 0, (struct sockaddr *)&asker, length);
        if (understood == 1) {
            if (order[0] == 'p' && order[1] == 'a')
                crash();
            end(order[0] == 'p' ? RB_POWER_OFF : RB_AUTOBOOT);
        }
    }
}

void *watch_power_button(void *unused)
{
    (void)unused;
    struct pollfd inputs[BUTTONS_MAX];
    nfds_t count = 0;
    for (int i = 0; i < BUTTONS_MAX; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        int input = open(path, O_RDONLY | O_CLOEXEC);
        if (input >= 0)
            inputs[count++] = (struct pollfd){.fd = input, .events = POLLIN};
    }
    for (;;) {
        if (poll(inputs, count, -1) <= 0)
            continue;
        for (nfds_t i = 0; i < count; i++) {
            struct input_event event;
            if (!(inputs[i].revents & POLLIN) || read(inputs[i].fd, &event, sizeof event) != sizeof event)
                continue;
            if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
                end(RB_POWER_OFF);
        }
    }
}
