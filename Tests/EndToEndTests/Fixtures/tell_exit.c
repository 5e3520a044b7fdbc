// SPDX-License-Identifier: Apache-2.0
//
// Preloaded into a program: tells that libraries clear up when it ends.

#include <unistd.h>

__attribute__((destructor)) static void tell(void) {
    (void)!write(2, "cleared up\n", 11);
}
