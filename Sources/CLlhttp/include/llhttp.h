// SPDX-License-Identifier: Apache-2.0
// The header of Debian's node-llhttp package; its sources say #include "llhttp.h".
#pragma once
// The strict grammar, chosen at compile time; llhttp.c reads it before it includes anything,
// so that file says it too.
#ifndef LLHTTP_STRICT_MODE
#define LLHTTP_STRICT_MODE 1
#endif
#include "/usr/share/include/llhttp/llhttp.h"
