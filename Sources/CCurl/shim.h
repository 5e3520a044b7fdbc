// SPDX-License-Identifier: Apache-2.0
// sys/types.h comes first: some of these headers define _GNU_SOURCE themselves, and glibc's types
// must look the same here as in every other module that Swift imports.
#include <sys/types.h>
#include <sys/eventfd.h>
#include <netinet/in.h>
#include <resolv.h>
#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot call: here they are with
// one type of argument each. The parentheses keep curl's type-checking macros away.

typedef size_t (*tally_curl_callback)(char *bytes, size_t size, size_t count, void *context);

static inline CURLcode tally_curl_set_long(CURL *handle, CURLoption option, long value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode tally_curl_set_string(CURL *handle, CURLoption option, const char *value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode tally_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode tally_curl_set_size(CURL *handle, CURLoption option, curl_off_t value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode tally_curl_set_callback(
    CURL *handle, CURLoption option, tally_curl_callback value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode tally_curl_get_long(CURL *handle, CURLINFO info, long *value) {
    return (curl_easy_getinfo)(handle, info, value);
}

static inline CURLcode tally_curl_get_size(CURL *handle, CURLINFO info, curl_off_t *value) {
    return (curl_easy_getinfo)(handle, info, value);
}

static inline CURLcode tally_curl_get_string(CURL *handle, CURLINFO info, char **value) {
    return (curl_easy_getinfo)(handle, info, value);
}

typedef curl_socket_t (*tally_curl_open)(
    void *context, curlsocktype purpose, struct curl_sockaddr *address);

static inline CURLcode tally_curl_set_open(CURL *handle, tally_curl_open value) {
    return (curl_easy_setopt)(handle, CURLOPT_OPENSOCKETFUNCTION, value);
}

static inline CURLcode tally_curl_share_names(CURLSH *share) {
    return (curl_share_setopt)(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK
        ? CURLE_OK : CURLE_FAILED_INIT;
}

// How long the calling thread waits for name servers that do not answer: a second or two for each,
// in two rounds, instead of five.
static inline void tally_hurry_lookups(void) {
    if (res_ninit(&_res) == 0) {
        _res.retrans = 1;
        _res.retry = 2;
    }
}
