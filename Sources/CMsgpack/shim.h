// SPDX-License-Identifier: Apache-2.0
// sys/types.h comes first: some of these headers define _GNU_SOURCE themselves, and glibc's types
// must look the same here as in every other module that Swift imports.
#include <sys/types.h>
#include <msgpack.h>

// The packer's functions are static inlines behind macros that Swift does not see.
static inline void tally_pack_init(msgpack_sbuffer *buffer, msgpack_packer *packer) {
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(packer, buffer, msgpack_sbuffer_write);
}
static inline void tally_pack_array(msgpack_packer *packer, size_t count) {
    msgpack_pack_array(packer, count);
}
static inline void tally_pack_integer(msgpack_packer *packer, long long value) {
    msgpack_pack_long_long(packer, value);
}
static inline void tally_pack_nil(msgpack_packer *packer) { msgpack_pack_nil(packer); }
static inline void tally_pack_bytes(msgpack_packer *packer, const void *bytes, size_t count) {
    msgpack_pack_str(packer, count);
    msgpack_pack_str_body(packer, bytes, count);
}
