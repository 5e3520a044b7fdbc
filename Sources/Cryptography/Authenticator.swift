// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// The HMAC-SHA256 of a text by a key (RFC 2104): 32 bytes.
public func hmacSHA256(_ key: [UInt8], _ text: [UInt8]) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 32)
    var count = 0
    let mac = EVP_Q_mac(
        nil, "HMAC", nil, "SHA256", nil, key, key.count, text, text.count, &output, output.count,
        &count)
    precondition(mac != nil && count == 32, "HMAC-SHA256 is not available in this OpenSSL")
    return output
}
