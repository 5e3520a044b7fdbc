// SPDX-License-Identifier: Apache-2.0
// sys/types.h comes first: see the other shims.
#include <sys/types.h>
#include <csv.h>
