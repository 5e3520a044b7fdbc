// SPDX-License-Identifier: Apache-2.0
#include <sys/types.h>
#include <string.h>
#include <zlib.h>

// Compresses in the gzip format in one step: what starts it is a macro, which Swift cannot call. Returns
// the size, or 0 when `capacity` does not do.
static inline size_t tally_gzip(
    const unsigned char *bytes, size_t count, unsigned char *output, size_t capacity) {
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    stream.next_in = (unsigned char *)bytes;
    stream.avail_in = (uInt)count;
    stream.next_out = output;
    stream.avail_out = (uInt)capacity;
    int status = deflate(&stream, Z_FINISH);
    size_t size = stream.total_out;
    deflateEnd(&stream);
    return status == Z_STREAM_END ? size : 0;
}
