// SPDX-License-Identifier: Apache-2.0
// sys/types.h comes first: some of these headers define _GNU_SOURCE themselves, and glibc's types
// must look the same here as in every other module that Swift imports.
#include <sys/types.h>
#include <hiredis/hiredis.h>
#include <hiredis/read.h>

// What Swift's own Glibc module leaves out: it shows no GNU extensions and no variadic functions.
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);

static inline int tally_pidfd_open(pid_t process) {
    return (int)syscall(SYS_pidfd_open, process, 0);
}
