// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "accept.h"

int http_accept(int descriptor, struct sockaddr *address, socklen_t *length) {
    return accept4(descriptor, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
