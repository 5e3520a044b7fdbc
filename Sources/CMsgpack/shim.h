// SPDX-License-Identifier: Apache-2.0
// sys/types.h comes first: some of these headers define _GNU_SOURCE themselves, and glibc's types
// must look the same here as in every other module that Swift imports.
#include <sys/types.h>
#include <msgpack.h>
#include <endian.h>
#include <string.h>

// The packer's functions are static inlines behind macros that Swift does not see.
static inline void tally_pack_init(msgpack_sbuffer *buffer, msgpack_packer *packer) {
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(packer, buffer, msgpack_sbuffer_write);
}
// Most values are one byte, and the packer calls its writer through a pointer for each: such a byte
// is put down here, if there is room.
static inline int tally_pack_byte(msgpack_packer *packer, unsigned char byte) {
    msgpack_sbuffer *buffer = (msgpack_sbuffer *)packer->data;
    if (buffer->size == buffer->alloc) return 0;
    buffer->data[buffer->size++] = (char)byte;
    return 1;
}
static inline void tally_pack_array(msgpack_packer *packer, size_t count) {
    if (count < 16 && tally_pack_byte(packer, 0x90 | (unsigned char)count)) return;
    msgpack_pack_array(packer, count);
}
// So are those of two to nine bytes: the size is known, and one check of the room is enough.
static inline void tally_pack_integer(msgpack_packer *packer, long long value) {
    if (value >= 0 && value < 128 && tally_pack_byte(packer, (unsigned char)value)) return;
    msgpack_sbuffer *buffer = (msgpack_sbuffer *)packer->data;
    if (value < 128 || buffer->alloc - buffer->size < 9) {
        msgpack_pack_long_long(packer, value);
        return;
    }
    const int width = value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x100000000 ? 4 : 8;
    char *out = buffer->data + buffer->size;
    *out++ = (char)(width == 1 ? 0xcc : width == 2 ? 0xcd : width == 4 ? 0xce : 0xcf);
    const unsigned long long bytes = htobe64((unsigned long long)value << (64 - 8 * width));
    memcpy(out, &bytes, 8);
    buffer->size += 1 + (size_t)width;
}
static inline void tally_pack_nil(msgpack_packer *packer) { msgpack_pack_nil(packer); }
static inline void tally_pack_bytes(msgpack_packer *packer, const void *bytes, size_t count) {
    if (!(count < 32 && tally_pack_byte(packer, 0xa0 | (unsigned char)count))) {
        msgpack_pack_str(packer, count);
    }
    if (count > 0) msgpack_pack_str_body(packer, bytes, count);
}
