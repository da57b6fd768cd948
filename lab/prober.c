/* The prober: hears the beats of all guests on the LAN and keeps the books on them.
 *
 *   prober listen [GAP_MS]            events and answers as JSON lines on stdout, orders on stdin:
 *                                       mark NAME     begin (again) to count under this name, for all guests
 *                                       report NAME   what happened since that mark
 *                                       forget NAME   free the mark
 *                                       quit
 *   prober send ADDRESS ORDER…        one order to a guest's control port; prints its answer; exit 1: no answer
 *
 * Times are the kernel's receive stamps, ns since 1970, so they can be laid beside QEMU's event times.
 * Nothing is allocated after the start: GUESTS_MAX guests, MARKS_MAX marks, more are refused and said. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum { GUESTS_MAX = 256, MARKS_MAX = 32, NAME_MAX_LENGTH = 63, BOOTS_MAX = 4, EVENTS_PER_SECOND_MAX = 200 };

/* One guest since one mark. */
struct tally {
    uint64_t beats, lost, duplicates, past, boots;
    int64_t first_ns, last_ns, gap_max_ns, gap_start_ns;
    uint64_t gap_counter_before, gap_counter_after;
    int64_t guest_gap_max_ns; /* largest step of the guest's own clock: it was starved, not stopped */
    uint64_t counter_first, counter_last, acked_first, acked_last;
    uint8_t boot_ids[BOOTS_MAX][16];
};

struct guest {
    uint32_t address;
    int64_t last_ns;
    struct beat last;
};

struct mark {
    char name[NAME_MAX_LENGTH + 1]; /* empty: free */
    int64_t at_ns;
    struct tally tallies[GUESTS_MAX];
};

static struct guest guests[GUESTS_MAX];
static int guest_count;
static struct mark marks[MARKS_MAX];
static int64_t gap_event_ns = 20000000;
static uint32_t kernel_drops; /* datagrams this prober lost by itself: not the guests' fault */

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const char *address_text(uint32_t address)
{
    static char text[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, &address, text, sizeof text);
}

static const char *boot_text(const uint8_t *id)
{
    static char text[2][33];
    static int turn;
    char *out = text[turn ^= 1];
    for (int i = 0; i < 16; i++)
        sprintf(out + 2 * i, "%02x", id[i]);
    return out;
}

/* ---- events ---- */

/* A guest gone wild must not fill the reader's pipe: events beyond the limit are dropped, the tallies are not. */
static int may_print_event(int64_t at)
{
    static int64_t second;
    static int count;
    if (at / 1000000000 != second) {
        second = at / 1000000000;
        count = 0;
    }
    return ++count <= EVENTS_PER_SECOND_MAX;
}

static void event(const char *name, const struct guest *guest, const struct beat *beat, int64_t at)
{
    if (!may_print_event(at))
        return;
    printf("{\"event\":\"%s\",\"guest\":\"%s\",\"start_ns\":%lld,\"end_ns\":%lld,\"us\":%lld,"
        "\"counter_before\":%llu,\"counter_after\":%llu,\"boot_id\":\"%s\"}\n",
        name, address_text(guest->address), (long long)guest->last_ns, (long long)at,
        (long long)((at - guest->last_ns) / 1000), (unsigned long long)guest->last.counter,
        (unsigned long long)beat->counter, boot_text(beat->boot_id));
}

static void tell_events(const struct guest *guest, const struct beat *beat, int64_t at)
{
    if (guest->last_ns == 0)
        event("new-guest", guest, beat, at);
    else if (memcmp(guest->last.boot_id, beat->boot_id, 16) != 0)
        event("boot-changed", guest, beat, at);
    else if (beat->counter == guest->last.counter)
        event("duplicate", guest, beat, at);
    else if (beat->counter < guest->last.counter)
        event("past", guest, beat, at);
    else if (beat->counter > guest->last.counter + 1)
        event("lost", guest, beat, at);
    if (guest->last_ns != 0 && at - guest->last_ns > gap_event_ns)
        event("gap", guest, beat, at);
}

/* ---- books ---- */

static void note_boot(struct tally *tally, const uint8_t *id)
{
    for (uint64_t i = 0; i < tally->boots && i < BOOTS_MAX; i++)
        if (memcmp(tally->boot_ids[i], id, 16) == 0)
            return;
    if (tally->boots < BOOTS_MAX)
        memcpy(tally->boot_ids[tally->boots], id, 16);
    tally->boots++;
}

static void count_beat(struct tally *tally, const struct guest *before, const struct beat *beat, int64_t at)
{
    int known = before->last_ns != 0;
    if (tally->beats++ == 0) {
        tally->first_ns = at;
        tally->counter_first = beat->counter;
        tally->acked_first = beat->acked_write;
        if (known)
            note_boot(tally, before->last.boot_id);
    }
    note_boot(tally, beat->boot_id);
    if (known && memcmp(before->last.boot_id, beat->boot_id, 16) == 0) {
        if (beat->counter == before->last.counter)
            tally->duplicates++;
        else if (beat->counter < before->last.counter)
            tally->past++;
        else
            tally->lost += beat->counter - before->last.counter - 1;
        int64_t guest_gap = (int64_t)(beat->guest_ns - before->last.guest_ns);
        if (guest_gap > tally->guest_gap_max_ns)
            tally->guest_gap_max_ns = guest_gap;
    }
    if (known && at - before->last_ns > tally->gap_max_ns) {
        tally->gap_max_ns = at - before->last_ns;
        tally->gap_start_ns = before->last_ns;
        tally->gap_counter_before = before->last.counter;
        tally->gap_counter_after = beat->counter;
    }
    tally->last_ns = at;
    tally->counter_last = beat->counter;
    tally->acked_last = beat->acked_write;
}

static struct guest *find_guest(uint32_t address)
{
    for (int i = 0; i < guest_count; i++)
        if (guests[i].address == address)
            return &guests[i];
    if (guest_count == GUESTS_MAX)
        return NULL;
    guests[guest_count].address = address;
    return &guests[guest_count++];
}

static void take_beat(uint32_t address, const struct beat *beat, int64_t at)
{
    struct guest *guest = find_guest(address);
    if (!guest)
        return;
    tell_events(guest, beat, at);
    for (int i = 0; i < MARKS_MAX; i++)
        if (marks[i].name[0])
            count_beat(&marks[i].tallies[guest - guests], guest, beat, at);
    guest->last = *beat;
    guest->last_ns = at;
}

/* ---- orders ---- */

static struct mark *find_mark(const char *name)
{
    for (int i = 0; i < MARKS_MAX; i++)
        if (strcmp(marks[i].name, name) == 0)
            return &marks[i];
    return NULL;
}

static void print_tally(const struct guest *guest, const struct tally *t, int64_t now)
{
    printf("{\"guest\":\"%s\",\"beats\":%llu,\"lost\":%llu,\"duplicates\":%llu,\"past\":%llu,\"boots\":%llu,\"boot_ids\":[",
        address_text(guest->address), (unsigned long long)t->beats, (unsigned long long)t->lost,
        (unsigned long long)t->duplicates, (unsigned long long)t->past, (unsigned long long)t->boots);
    for (uint64_t i = 0; i < t->boots && i < BOOTS_MAX; i++)
        printf("%s\"%s\"", i ? "," : "", boot_text(t->boot_ids[i]));
    printf("],\"gap_max_us\":%lld,\"gap_start_ns\":%lld,\"gap_counter_before\":%llu,\"gap_counter_after\":%llu,"
        "\"guest_gap_max_us\":%lld,\"silent_us\":%lld,\"first_ns\":%lld,\"last_ns\":%lld,"
        "\"counter_first\":%llu,\"counter_last\":%llu,\"acked_first\":%llu,\"acked_last\":%llu,",
        (long long)(t->gap_max_ns / 1000), (long long)t->gap_start_ns, (unsigned long long)t->gap_counter_before,
        (unsigned long long)t->gap_counter_after, (long long)(t->guest_gap_max_ns / 1000),
        (long long)((now - guest->last_ns) / 1000), (long long)t->first_ns, (long long)t->last_ns,
        (unsigned long long)t->counter_first, (unsigned long long)t->counter_last,
        (unsigned long long)t->acked_first, (unsigned long long)t->acked_last);
    printf("\"memory_errors\":%llu,\"write_errors\":%llu,\"pages_dirtied\":%llu,\"load_mib\":%u,\"ready_mib\":%u,"
        "\"mib_per_s\":%u,\"writes_per_s\":%u}",
        (unsigned long long)guest->last.memory_errors, (unsigned long long)guest->last.write_errors,
        (unsigned long long)guest->last.pages_dirtied, guest->last.load_mib, guest->last.load_mib_ready,
        guest->last.load_mib_per_s, guest->last.writes_per_s);
}

static void print_error(const char *name, const char *why)
{
    printf("{\"error\":\"%s\",\"mark\":\"%s\"}\n", why, name);
}

static void report(const char *name)
{
    struct mark *mark = find_mark(name);
    if (!mark) {
        print_error(name, "no such mark");
        return;
    }
    int64_t now = now_ns();
    printf("{\"report\":\"%s\",\"mark_ns\":%lld,\"now_ns\":%lld,\"prober_drops\":%u,\"guests\":[",
        mark->name, (long long)mark->at_ns, (long long)now, kernel_drops);
    for (int i = 0; i < guest_count; i++) {
        printf("%s", i ? "," : "");
        print_tally(&guests[i], &mark->tallies[i], now);
    }
    printf("]}\n");
}

static void begin_mark(const char *name)
{
    struct mark *mark = find_mark(name);
    if (!mark)
        mark = find_mark("");
    if (!mark) {
        print_error(name, "too many marks, forget one");
        return;
    }
    memset(mark, 0, sizeof *mark);
    snprintf(mark->name, sizeof mark->name, "%s", name);
    mark->at_ns = now_ns();
    printf("{\"mark\":\"%s\",\"at_ns\":%lld}\n", mark->name, (long long)mark->at_ns);
}

static void obey(char *line)
{
    char verb[16] = "", name[NAME_MAX_LENGTH + 1] = "";
    sscanf(line, "%15s %63[a-zA-Z0-9._-]", verb, name);
    struct mark *mark = name[0] ? find_mark(name) : NULL;
    if (strcmp(verb, "quit") == 0)
        exit(0);
    else if (name[0] && strcmp(verb, "mark") == 0)
        begin_mark(name);
    else if (name[0] && strcmp(verb, "report") == 0)
        report(name);
    else if (name[0] && strcmp(verb, "forget") == 0) {
        if (mark)
            mark->name[0] = 0;
        printf("{\"forgot\":\"%s\"}\n", name);
    } else
        print_error(name, "orders: mark NAME, report NAME, forget NAME, quit");
}

/* Our own line buffer: stdio would hide from poll what it has read ahead. */
static void read_orders(void)
{
    static char buffer[1024];
    static size_t used;
    ssize_t n = read(0, buffer + used, sizeof buffer - 1 - used);
    if (n <= 0)
        exit(0); /* Whoever started us is gone. */
    used += (size_t)n;
    buffer[used] = 0;
    for (char *end; (end = strchr(buffer, '\n'));) {
        *end = 0;
        obey(buffer);
        used -= (size_t)(end + 1 - buffer);
        memmove(buffer, end + 1, used + 1);
    }
    if (used == sizeof buffer - 1)
        used = 0; /* Longer than any order. */
}

/* ---- the socket ---- */

static int open_socket(void)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, size = 8 << 20;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(BEAT_PORT)};
    setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(sock, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    if (setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(sock, (struct sockaddr *)&here, sizeof here) != 0) {
        fprintf(stderr, "prober: port %d: %s\n", BEAT_PORT, strerror(errno));
        exit(1);
    }
    return sock;
}

static int receive(int sock)
{
    struct beat beat;
    struct sockaddr_in from;
    char control[256];
    struct iovec data = {&beat, sizeof beat};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &data, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(sock, &message, MSG_DONTWAIT);
    if (n < 0)
        return 0;
    int64_t at = now_ns();
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            at = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
        }
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(&kernel_drops, CMSG_DATA(c), sizeof kernel_drops);
    }
    if (n == sizeof beat && beat.magic == BEAT_MAGIC && beat.version == 1)
        take_beat(from.sin_addr.s_addr, &beat, at);
    return 1;
}

static int listen_to_beats(int argc, char **argv)
{
    if (argc > 2)
        gap_event_ns = atoll(argv[2]) * 1000000;
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    int sock = open_socket();
    printf("{\"event\":\"listening\"}\n");
    struct pollfd both[2] = {{.fd = sock, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    for (;;) {
        if (poll(both, 2, -1) < 0 && errno != EINTR)
            return 1;
        for (int burst = 0; burst < 1000 && receive(sock); burst++)
            ; /* Everything queued is counted before an order is obeyed, but orders are never starved. */
        if (both[1].revents)
            read_orders();
    }
}

static int send_order(int argc, char **argv)
{
    char order[128] = "", answer[512];
    for (int i = 3; i < argc; i++) {
        strncat(order, i > 3 ? " " : "", sizeof order - strlen(order) - 1);
        strncat(order, argv[i], sizeof order - strlen(order) - 1);
    }
    struct sockaddr_in guest = {.sin_family = AF_INET, .sin_port = htons(CONTROL_PORT)};
    if (inet_pton(AF_INET, argv[2], &guest.sin_addr) != 1) {
        fprintf(stderr, "prober: %s is no IPv4 address\n", argv[2]);
        return 2;
    }
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    connect(sock, (struct sockaddr *)&guest, sizeof guest);
    for (int tries = 0; tries < 20; tries++) { /* Orders are safe to repeat; 20 × 250 ms bridges any move. */
        struct pollfd one = {.fd = sock, .events = POLLIN};
        (void)!send(sock, order, strlen(order), 0);
        if (poll(&one, 1, 250) <= 0)
            continue;
        ssize_t n = recv(sock, answer, sizeof answer - 1, 0);
        if (n <= 0) {
            usleep(250000); /* Refused or unreachable: an error comes back at once. */
            continue;
        }
        answer[n] = 0;
        puts(answer);
        return strncmp(answer, "ok", 2) == 0 ? 0 : 2;
    }
    fprintf(stderr, "prober: no answer from %s within 5 s\n", argv[2]);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "listen") == 0)
        return listen_to_beats(argc, argv);
    if (argc >= 4 && strcmp(argv[1], "send") == 0)
        return send_order(argc, argv);
    fprintf(stderr, "prober listen [GAP_MS] | prober send ADDRESS ORDER…\n");
    return 2;
}
