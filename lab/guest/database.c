/* A real workload, where the disk has one: PostgreSQL on an ext4 partition, started as Debian's own program. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

enum { POSTGRES_UID = 70 }; /* as build-guest.sh gave its files */

static const char partition[] = "/dev/vda2", home[] = "/database";
static pid_t server;

static void mount_or_tell(const char *from, const char *to, const char *type)
{
    if (mount(from, to, type, MS_NOATIME, "") != 0)
        printf("godwit-guest: %s on %s: %s\n", from, to, strerror(errno));
}

/* What it says goes to the console, as all of the guest's words do. */
void start_database(void)
{
    if (access(partition, F_OK) != 0)
        return;
    mkdir(home, 0755);
    mount_or_tell(partition, home, "ext4");
    mount_or_tell("dev", "/database/dev", "devtmpfs");
    mount_or_tell("proc", "/database/proc", "proc");
    server = fork();
    if (server != 0)
        return;
    if (chroot(home) == 0 && chdir("/data") == 0 && setgid(POSTGRES_UID) == 0 && setuid(POSTGRES_UID) == 0) {
        char *const words[] = {"postgres", "-D", "/data", NULL}, *const environment[] = {"PATH=/bin:/usr/bin", NULL};
        execve("/bin/postgres", words, environment);
    }
    printf("godwit-guest: no database: %s\n", strerror(errno));
    _exit(1);
}

/* SIGINT is its fast shutdown: clients are cut off, a checkpoint is written. Then the file system is left clean. */
void stop_database(void)
{
    if (server <= 0)
        return;
    kill(server, SIGINT);
    waitpid(server, NULL, 0);
    umount("/database/proc");
    umount("/database/dev");
    if (umount(home) != 0)
        printf("godwit-guest: %s: %s\n", home, strerror(errno));
    sync();
}
