/* A disk that takes FSYNC_DELAY_MS longer to be sure: to be put before a program with LD_PRELOAD.
 *
 * The disks of test machines answer fsync from a cache; those that keep data do not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void wait_as_a_disk_does(void)
{
    const char *delay = getenv("FSYNC_DELAY_MS");
    double ms = delay ? atof(delay) : 0.0;
    struct timespec left = {(time_t)(ms / 1000.0), 0};
    left.tv_nsec = (long)((ms - (double)left.tv_sec * 1000.0) * 1e6);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        /* interrupted by a signal: sleep on for what is left */
    }
}

int fsync(int fd)
{
    int (*really)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_as_a_disk_does();
    return really(fd);
}

int fdatasync(int fd)
{
    int (*really)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_as_a_disk_does();
    return really(fd);
}
