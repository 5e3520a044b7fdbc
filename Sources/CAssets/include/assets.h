// SPDX-License-Identifier: Apache-2.0
//
// Files that the binary carries. C embeds them as they are (#embed of C23), while an array literal of
// Swift costs the compiler seconds for each 100 KB.

#ifndef TALLY_ASSETS_H
#define TALLY_ASSETS_H

#include <stddef.h>

struct tally_asset {
  const char *_Nullable name;
  const unsigned char *_Nonnull bytes;
  size_t length;
};

/// The description of the API, OpenAPI 3.1 as JSON.
struct tally_asset tally_openapi(void);

/// The files of the pages by their names; the last one has none.
const struct tally_asset *_Nonnull tally_web(void);

#endif
