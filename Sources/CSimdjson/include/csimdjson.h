// SPDX-License-Identifier: Apache-2.0
//
// A C face over simdjson: one strict pass over a whole document into a flat array of tokens.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CSJ_NULL = 0,
    CSJ_FALSE = 1,
    CSJ_TRUE = 2,
    CSJ_NUMBER = 3,
    CSJ_STRING = 4,
    CSJ_ARRAY = 5,
    CSJ_OBJECT = 6
} csj_kind;

typedef enum {
    CSJ_OK = 0,
    CSJ_NO_MEMORY,
    CSJ_TOO_LARGE,
    CSJ_EMPTY,
    CSJ_BYTE_ORDER_MARK,
    CSJ_INVALID_ENCODING,
    CSJ_UNCLOSED_STRING,
    CSJ_CONTROL_CHARACTER,
    CSJ_INVALID_ESCAPE,
    CSJ_LONE_SURROGATE,
    CSJ_NUL_CHARACTER,
    CSJ_STRING_TOO_LONG,
    CSJ_INVALID_NUMBER,
    CSJ_NUMBER_TOO_LONG,
    CSJ_UNEXPECTED,
    CSJ_UNEXPECTED_END,
    CSJ_TRAILING_CONTENT,
    CSJ_TOO_DEEP,
    CSJ_TOO_MANY_FIELDS,
    CSJ_DUPLICATE_KEY
} csj_error;

/// One value or key. A key is a string token right before the token of its value.
typedef struct {
    /// Of a number: offset in the input. Of a string or key: offset in the string buffer.
    uint32_t start;
    /// Of a number or string: bytes. Of an array: elements. Of an object: members.
    uint32_t length;
    /// Index of the token after this value and all that is in it.
    uint32_t next;
    /// A `csj_kind`.
    uint32_t kind;
} csj_token;

typedef struct {
    uint32_t depth;
    uint32_t fields;
    uint32_t string_bytes;
    uint32_t number_bytes;
} csj_limits;

typedef struct {
    const csj_token *tokens;
    size_t count;
    const uint8_t *input;
    const uint8_t *strings;
    csj_error error;
    /// Byte offset in the input, or SIZE_MAX when it is not known.
    size_t error_offset;
} csj_document;

typedef struct csj_parser csj_parser;

/// NULL when memory is short.
csj_parser *csj_parser_new(void);
void csj_parser_free(csj_parser *parser);

/// Parses `length` bytes. The pointers in the answer stand until the next call with this parser.
csj_document csj_parse(
    csj_parser *parser, const uint8_t *bytes, size_t length, csj_limits limits);

#ifdef __cplusplus
}
#endif
