// SPDX-License-Identifier: Apache-2.0
// Compiled from the C sources of Debian's node-llhttp package, not copied into this one.
// A file for each, because they declare the same functions with different arguments.
#include "/usr/share/llhttp/llhttp.c"
