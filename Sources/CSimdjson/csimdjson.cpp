// SPDX-License-Identifier: Apache-2.0
//
// simdjson's first stage finds where every token starts and checks UTF-8, quotes and control
// characters. Its own second stages are not used: they turn numbers into doubles, and here the
// text of a number is what counts. The second stage below walks the token starts with an
// explicit stack, so the depth of a document never touches the thread's stack.

#include "csimdjson.h"
#include "scan.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <simdjson.h>
#include <string_view>
#include <vector>

namespace {

using Stage1 = simdjson::internal::dom_parser_implementation;

struct Frame {
    uint32_t token;
    uint32_t count;
    bool is_object;
};

enum class Want { value, value_or_end, key, key_or_end, colon, comma_or_end, nothing };

}  // namespace

// A large document takes six times its size, and more for its tokens. After so many small ones the
// memory is given back: a client that sends large ones goes on, and one of them is soon forgotten.
constexpr size_t usual_capacity = 1 << 20, usual_tokens = 1 << 16;
constexpr uint32_t calm_documents = 64;

struct csj_parser {
    std::unique_ptr<Stage1> stage1;
    size_t capacity = 0;
    uint32_t calm = 0;
    std::unique_ptr<uint8_t[]> input, strings;
    std::vector<csj_token> tokens;
    std::vector<Frame> stack;
    std::vector<std::string_view> keys;

    // Of the document at hand.
    size_t length = 0;
    uint32_t count = 0;
    uint8_t *free_string = nullptr;
    csj_limits limits{};
    size_t offset = 0;
    Want want = Want::value;

    void forget_large(size_t bytes) {
        if (capacity <= usual_capacity && tokens.size() <= usual_tokens) return;
        calm = bytes > usual_capacity / 16 ? 0 : calm + 1;
        if (calm < calm_documents) return;
        calm = 0;
        capacity = 0;
        tokens = {};
    }

    csj_error reserve(size_t bytes) {
        forget_large(bytes);
        if (bytes <= capacity && stage1) return CSJ_OK;
        size_t wanted = 4096;
        while (wanted < bytes) wanted *= 2;
        capacity = 0;
        stage1.reset();
        input = std::make_unique<uint8_t[]>(wanted + simdjson::SIMDJSON_PADDING);
        strings = std::make_unique<uint8_t[]>(wanted + simdjson::SIMDJSON_PADDING);
        const auto &engine = simdjson::get_active_implementation();
        if (engine->create_dom_parser_implementation(wanted, 1, stage1)) return CSJ_NO_MEMORY;
        capacity = wanted;
        return CSJ_OK;
    }

    csj_error index() {
        // A zero among the first two bytes is what UTF-16 and UTF-32 look like.
        if (memchr(input.get(), 0, std::min<size_t>(length, 2))) return CSJ_INVALID_ENCODING;
        if (length >= 3 && !memcmp(input.get(), "\xEF\xBB\xBF", 3)) return CSJ_BYTE_ORDER_MARK;
        auto mode = simdjson::stage1_mode::regular;
        auto failed = stage1->stage1(input.get(), length, mode);
        if (!failed) return CSJ_OK;
        offset = SIZE_MAX;
        if (failed == simdjson::EMPTY) return CSJ_EMPTY;
        auto text = reinterpret_cast<const char *>(input.get());
        if (!simdjson::validate_utf8(text, length)) return CSJ_INVALID_ENCODING;
        if (failed == simdjson::UNESCAPED_CHARS) return CSJ_CONTROL_CHARACTER;
        return failed == simdjson::UNCLOSED_STRING ? CSJ_UNCLOSED_STRING : CSJ_UNEXPECTED;
    }

    void push(csj_kind kind, size_t start, size_t size) {
        if (count == tokens.size()) tokens.resize(std::max<size_t>(64, 2 * tokens.size()));
        tokens[count] = {uint32_t(start), uint32_t(size), count + 1, uint32_t(kind)};
        count++;
    }

    csj_error string() {
        const uint8_t *at = &input[offset + 1];
        uint8_t *to = free_string;
        // Stage one saw the closing quote, so the loop meets it.
        while (true) {
            copy_plain(at, to);
            if (*at == '"') break;
            if (csj_error error = escape(at, to)) {
                offset = size_t(at - input.get());
                return error;
            }
        }
        auto size = size_t(to - free_string);
        if (size > limits.string_bytes) return CSJ_STRING_TOO_LONG;
        push(CSJ_STRING, size_t(free_string - strings.get()), size);
        free_string = to;
        return CSJ_OK;
    }

    csj_error number() {
        const uint8_t *start = &input[offset], *end = number_end(start);
        if (!end || !ends_scalar(end, &input[length])) return CSJ_INVALID_NUMBER;
        if (size_t(end - start) > limits.number_bytes) return CSJ_NUMBER_TOO_LONG;
        push(CSJ_NUMBER, offset, size_t(end - start));
        return CSJ_OK;
    }

    csj_error literal(const char *word, csj_kind kind) {
        size_t size = strlen(word);
        const uint8_t *at = &input[offset];
        if (memcmp(at, word, size) || !ends_scalar(at + size, &input[length]))
            return CSJ_UNEXPECTED;
        push(kind, offset, size);
        return CSJ_OK;
    }

    csj_error open(bool is_object) {
        if (stack.size() >= limits.depth) return CSJ_TOO_DEEP;
        stack.push_back({count, 0, is_object});
        push(is_object ? CSJ_OBJECT : CSJ_ARRAY, offset, 0);
        want = is_object ? Want::key_or_end : Want::value_or_end;
        return CSJ_OK;
    }

    std::string_view text(const csj_token &token) const {
        return {reinterpret_cast<const char *>(&strings[token.start]), token.length};
    }

    /// Few keys are compared in pairs; many are sorted, which no choice of keys makes slow.
    bool has_duplicates(const Frame &frame) {
        if (frame.count < 2) return false;
        if (frame.count <= 24) return has_equal_pair(frame);
        keys.clear();
        for (uint32_t i = frame.token + 1; i < count; i = tokens[i + 1].next)
            keys.push_back(text(tokens[i]));
        std::sort(keys.begin(), keys.end());
        return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
    }

    bool has_equal_pair(const Frame &frame) const {
        const csj_token *all = tokens.data(), *end = all + count;
        for (const csj_token *key = all + frame.token + 1; key < end; key = all + key[1].next) {
            for (const csj_token *next = all + key[1].next; next < end; next = all + next[1].next) {
                if (key->length == next->length
                    && !memcmp(&strings[key->start], &strings[next->start], key->length))
                    return true;
            }
        }
        return false;
    }

    void after_value() { want = stack.empty() ? Want::nothing : Want::comma_or_end; }

    csj_error close(bool is_object) {
        if (stack.empty() || stack.back().is_object != is_object) return CSJ_UNEXPECTED;
        Frame frame = stack.back();
        if (is_object && has_duplicates(frame)) return CSJ_DUPLICATE_KEY;
        stack.pop_back();
        tokens[frame.token].length = frame.count;
        tokens[frame.token].next = count;
        after_value();
        return CSJ_OK;
    }

    csj_error value(uint8_t c) {
        if (!stack.empty() && !stack.back().is_object) stack.back().count++;
        if (c == '{' || c == '[') return open(c == '{');
        after_value();
        switch (c) {
        case '"': return string();
        case 't': return literal("true", CSJ_TRUE);
        case 'f': return literal("false", CSJ_FALSE);
        case 'n': return literal("null", CSJ_NULL);
        default: return c == '-' || is_digit(c) ? number() : CSJ_UNEXPECTED;
        }
    }

    csj_error key(uint8_t c) {
        if (c != '"') return CSJ_UNEXPECTED;
        if (++stack.back().count > limits.fields) return CSJ_TOO_MANY_FIELDS;
        want = Want::colon;
        return string();
    }

    csj_error step(uint8_t c) {
        switch (want) {
        case Want::value: return value(c);
        case Want::value_or_end: return c == ']' ? close(false) : value(c);
        case Want::key: return key(c);
        case Want::key_or_end: return c == '}' ? close(true) : key(c);
        case Want::colon: want = Want::value; return c == ':' ? CSJ_OK : CSJ_UNEXPECTED;
        case Want::comma_or_end:
            if (c != ',') return c == ']' || c == '}' ? close(c == '}') : CSJ_UNEXPECTED;
            want = stack.back().is_object ? Want::key : Want::value;
            return CSJ_OK;
        case Want::nothing: break;
        }
        return CSJ_TRAILING_CONTENT;
    }

    csj_error walk() {
        for (uint32_t i = 0; i < stage1->n_structural_indexes; i++) {
            offset = stage1->structural_indexes[i];
            if (csj_error error = step(input[offset])) return error;
        }
        offset = length;
        return want == Want::nothing ? CSJ_OK : CSJ_UNEXPECTED_END;
    }

    csj_error parse(const uint8_t *bytes, size_t size, csj_limits given) {
        count = 0;
        stack.clear();
        offset = 0;
        want = Want::value;
        if (size == 0) return CSJ_EMPTY;
        if (size > (size_t(1) << 30)) return CSJ_TOO_LARGE;
        if (csj_error error = reserve(size)) return error;
        memcpy(input.get(), bytes, size);
        memset(&input[size], 0, simdjson::SIMDJSON_PADDING);
        free_string = strings.get();
        length = size;
        limits = given;
        csj_error error = index();
        return error ? error : walk();
    }
};

csj_parser *csj_parser_new(void) { return new (std::nothrow) csj_parser; }

void csj_parser_free(csj_parser *parser) { delete parser; }

csj_document csj_parse(
    csj_parser *parser, const uint8_t *bytes, size_t length, csj_limits limits) {
    csj_error error;
    try {
        error = parser->parse(bytes, length, limits);
    } catch (const std::bad_alloc &) {
        error = CSJ_NO_MEMORY;
    }
    return {parser->tokens.data(), error ? 0 : parser->count, parser->input.get(),
            parser->strings.get(), error, parser->offset};
}
