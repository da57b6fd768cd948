/* pid 1 of the lab guest: kernel modules, devices, address, then the beat and a shell on the serial console. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

static void load_modules(const char *list)
{
    FILE *names = fopen(list, "re");
    char path[256];
    while (names && fgets(path, sizeof path, names)) {
        path[strcspn(path, "\n")] = 0;
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0 || (syscall(SYS_finit_module, file, "", 0) != 0 && errno != EEXIST))
            printf("godwit-guest: %s: %s\n", path, strerror(errno));
        if (file >= 0)
            close(file);
    }
    if (names)
        fclose(names);
}

/* Probing is asynchronous: the disk appears a moment after its module. Two seconds is far more than it takes. */
static int wait_for(const char *path)
{
    for (int tries = 0; tries < 2000; tries++) {
        if (access(path, F_OK) == 0)
            return 1;
        usleep(1000);
    }
    printf("godwit-guest: no %s\n", path);
    return 0;
}

static void set_address(int sock, const char *name, const char *address, const char *netmask)
{
    struct ifreq request = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    in->sin_family = AF_INET;
    inet_pton(AF_INET, address, &in->sin_addr);
    ioctl(sock, SIOCSIFADDR, &request);
    inet_pton(AF_INET, netmask, &in->sin_addr);
    ioctl(sock, SIOCSIFNETMASK, &request);
    ioctl(sock, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    ioctl(sock, SIOCSIFFLAGS, &request);
}

/* The address follows from the MAC, so whoever made the VM knows it. The same rule is in GuestAddress.cs. */
static void set_up_network(void)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    set_address(sock, "lo", "127.0.0.1", "255.0.0.0");
    if (wait_for("/sys/class/net/eth0")) {
        struct ifreq request = {.ifr_name = "eth0"};
        ioctl(sock, SIOCGIFHWADDR, &request);
        const unsigned char *mac = (unsigned char *)request.ifr_hwaddr.sa_data;
        int x = mac[4], y = mac[5];
        if (x == 255)
            x = 254; /* 10.77.255.0/24 is the prober's */
        if (x == 0 && y == 0)
            y = 1;
        char address[32];
        snprintf(address, sizeof address, "10.77.%d.%d", x, y);
        set_address(sock, "eth0", address, LAN_NETMASK);
        printf("godwit-guest: address %s\n", address);
    }
    close(sock);
}

static pid_t start_beat(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(beat_main());
    return child;
}

static pid_t start_shell(void)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    setsid();
    int console = open("/dev/ttyS0", O_RDWR);
    if (console < 0)
        _exit(1);
    ioctl(console, TIOCSCTTY, 1);
    for (int i = 0; i < 3; i++)
        dup2(console, i);
    setenv("PS1", "godwit-guest:\\w# ", 1);
    setenv("HOME", "/root", 1);
    setenv("TERM", "vt100", 1);
    setenv("PATH", "/bin", 1);
    chdir("/root");
    execl("/bin/busybox", "sh", (char *)0);
    _exit(1);
}

static void mount_all(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mkdir("/root", 0700);
    mount("dev", "/dev", "devtmpfs", 0, "");
    mount("proc", "/proc", "proc", 0, "");
    mount("sys", "/sys", "sysfs", 0, "");
    int console = open("/dev/console", O_RDWR);
    for (int i = 0; i < 3 && console >= 0; i++)
        dup2(console, i);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

int main(void)
{
    mount_all();
    load_modules("/modules/order");
    set_up_network();
    wait_for("/dev/vda");
    pid_t beat = start_beat();
    pid_t shell = start_shell();
    for (;;) {
        pid_t gone = wait(NULL);
        if (gone == shell) {
            usleep(100000);
            shell = start_shell();
        }
        if (gone == beat) { /* A guest without its proof is worth nothing: a new boot id says so to everyone. */
            printf("godwit-guest: the beat died\n");
            reboot(RB_AUTOBOOT);
        }
    }
}
