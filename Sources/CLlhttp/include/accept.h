// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/socket.h>

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC, which Swift's Glibc module does not show: set in
/// one step, so that no child process started meanwhile inherits the socket.
int http_accept(int descriptor, struct sockaddr *address, socklen_t *length);
