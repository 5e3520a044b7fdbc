// SPDX-License-Identifier: Apache-2.0
// sys/types.h comes first: some of these headers define _GNU_SOURCE themselves, and glibc's types
// must look the same here as in every other module that Swift imports.
#include <sys/types.h>
#include <curl/curl.h>
