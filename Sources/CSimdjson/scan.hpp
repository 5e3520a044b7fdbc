// SPDX-License-Identifier: Apache-2.0
//
// Numbers and escapes, as RFC 8259 spells them. Every function may look a few bytes past the
// token, which the padding after the input allows.
#pragma once

#include "csimdjson.h"

#include <cstring>

namespace {

inline bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/// The highest bit of each zero byte; above the lowest of these, also of some that are not zero.
inline uint64_t zero_bytes(uint64_t word) {
    return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

/// Copies up to the next quote or backslash, which must come. Eight bytes at once, so up to seven
/// too many are read and written: there is padding behind the input, and behind the strings, which
/// are never longer; what comes next is written over them.
inline void copy_plain(const uint8_t *&at, uint8_t *&to) {
    while (true) {
        uint64_t word;
        memcpy(&word, at, 8);
        memcpy(to, &word, 8);
        uint64_t quotes = zero_bytes(word ^ 0x2222222222222222u);
        uint64_t stops = quotes | zero_bytes(word ^ 0x5C5C5C5C5C5C5C5Cu);
        // The first in memory is the lowest of the word: little-endian, as all that Swift runs on.
        int plain = stops ? __builtin_ctzll(stops) / 8 : 8;
        at += plain;
        to += plain;
        if (plain < 8) return;
    }
}

/// What may follow a number or a literal. The padding after the input is zero.
inline bool ends_scalar(const uint8_t *at, const uint8_t *end) {
    if (at >= end) return at == end;
    switch (*at) {
    case ' ': case '\t': case '\n': case '\r': case ',': case ']': case '}': case ':': return true;
    default: return false;
    }
}

inline const uint8_t *skip_digits(const uint8_t *at) {
    while (is_digit(*at)) at++;
    return at;
}

/// The end of a number by JSON's grammar, or nullptr.
inline const uint8_t *number_end(const uint8_t *at) {
    if (*at == '-') at++;
    if (!is_digit(*at)) return nullptr;
    at = *at == '0' ? at + 1 : skip_digits(at);
    if (*at == '.') {
        if (!is_digit(*++at)) return nullptr;
        at = skip_digits(at);
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-') at++;
        if (!is_digit(*at)) return nullptr;
        at = skip_digits(at);
    }
    return at;
}

/// Four hexadecimal digits, or -1.
inline int32_t hex4(const uint8_t *at) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i], low = c | 0x20;
        int digit = is_digit(c) ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

inline uint8_t *put_utf8(uint8_t *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = uint8_t(c);
        return to;
    }
    if (c < 0x800) {
        *to++ = uint8_t(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        *to++ = uint8_t(0xE0 | c >> 12);
        *to++ = uint8_t(0x80 | (c >> 6 & 0x3F));
    } else {
        *to++ = uint8_t(0xF0 | c >> 18);
        *to++ = uint8_t(0x80 | (c >> 12 & 0x3F));
        *to++ = uint8_t(0x80 | (c >> 6 & 0x3F));
    }
    *to++ = uint8_t(0x80 | (c & 0x3F));
    return to;
}

/// Reads `\uXXXX` or a pair of them; both pointers move on.
inline csj_error unicode_escape(const uint8_t *&at, uint8_t *&to) {
    int32_t unit = hex4(at + 2);
    if (unit < 0) return CSJ_INVALID_ESCAPE;
    if (unit == 0) return CSJ_NUL_CHARACTER;
    if (unit >= 0xDC00 && unit < 0xE000) return CSJ_LONE_SURROGATE;
    uint32_t scalar = uint32_t(unit);
    if (unit >= 0xD800 && unit < 0xDC00) {
        if (at[6] != '\\' || at[7] != 'u') return CSJ_LONE_SURROGATE;
        int32_t low = hex4(at + 8);
        if (low < 0xDC00 || low >= 0xE000) return CSJ_LONE_SURROGATE;
        scalar = 0x10000 + (scalar - 0xD800) * 0x400 + (uint32_t(low) - 0xDC00);
        at += 6;
    }
    at += 6;
    to = put_utf8(to, scalar);
    return CSJ_OK;
}

inline csj_error escape(const uint8_t *&at, uint8_t *&to) {
    switch (at[1]) {
    case '"': case '\\': case '/': *to++ = at[1]; break;
    case 'b': *to++ = '\b'; break;
    case 'f': *to++ = '\f'; break;
    case 'n': *to++ = '\n'; break;
    case 'r': *to++ = '\r'; break;
    case 't': *to++ = '\t'; break;
    case 'u': return unicode_escape(at, to);
    default: return CSJ_INVALID_ESCAPE;
    }
    at += 2;
    return CSJ_OK;
}

}  // namespace
