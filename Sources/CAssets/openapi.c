// SPDX-License-Identifier: Apache-2.0

#include "assets.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char document[] = {
#embed "../../docs/openapi/openapi.json"
};

struct tally_asset tally_openapi(void) {
  return (struct tally_asset){"openapi.json", document, sizeof document};
}
