/* Preloaded into a process, it makes one synchronisation of a file fail: the first that finds the
   file named by FAIL_WHEN_THERE, which it removes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int synchronise(const char *function, int file)
{
    const char *flag = getenv("FAIL_WHEN_THERE");
    if (flag && unlink(flag) == 0) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int)) dlsym(RTLD_NEXT, function))(file);
}

int fsync(int file) { return synchronise("fsync", file); }
int fdatasync(int file) { return synchronise("fdatasync", file); }
