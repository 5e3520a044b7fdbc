// SPDX-License-Identifier: Apache-2.0
//
// Preloaded into redis-server: once the file named by SLOW_FSYNC_FLAG exists, forcing data to the
// disk takes SLOW_FSYNC_MS longer. Each such call adds a byte to that file as it begins.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char flag[256];
static long milliseconds;

__attribute__((constructor)) static void begin(void) {
    char name[32] = "";
    int descriptor = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    if (read(descriptor, name, sizeof name - 1) > 0 && strncmp(name, "redis-server", 12) == 0) {
        // A copy: Redis writes its title over the environment.
        const char *value = getenv("SLOW_FSYNC_FLAG");
        if (value) strncpy(flag, value, sizeof flag - 1);
        const char *length = getenv("SLOW_FSYNC_MS");
        if (length) milliseconds = strtol(length, NULL, 10);
    }
    close(descriptor);
}

static void slow_down(void) {
    if (!flag[0]) return;
    int descriptor = open(flag, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (descriptor < 0) return;
    ssize_t written = write(descriptor, "x", 1);
    (void)written;
    close(descriptor);
    struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&rest, &rest) != 0) {}
}

int fsync(int descriptor) {
    slow_down();
    return (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor) {
    slow_down();
    return (int)syscall(SYS_fdatasync, descriptor);
}
