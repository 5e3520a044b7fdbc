// SPDX-License-Identifier: Apache-2.0
// The header of Debian's node-llhttp package; its sources say #include "llhttp.h".
#pragma once
#include "/usr/share/include/llhttp/llhttp.h"
