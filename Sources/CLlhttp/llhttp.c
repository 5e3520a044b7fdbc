// SPDX-License-Identifier: Apache-2.0
// Compiled from the C sources of Debian's node-llhttp package, not copied into this one.
// A file for each, because they declare the same functions with different arguments.
#define LLHTTP_STRICT_MODE 1
#include "/usr/share/llhttp/llhttp.c"
