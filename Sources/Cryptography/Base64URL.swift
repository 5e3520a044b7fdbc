// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// Decodes base64url without padding (RFC 4648, section 5). Nil when anything in it is something
/// else: one text stands for some bytes, and no other.
public func base64URLDecoded(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    var standard: [UInt8] = []
    standard.reserveCapacity(text.count + 2)
    for byte in text {
        switch byte {
        case UInt8(ascii: "-"): standard.append(UInt8(ascii: "+"))
        case UInt8(ascii: "_"): standard.append(UInt8(ascii: "/"))
        case 0x41...0x5a, 0x61...0x7a, 0x30...0x39: standard.append(byte)
        default: return nil
        }
    }
    let padding = (4 - standard.count % 4) % 4
    standard += Array(repeating: UInt8(ascii: "="), count: padding)
    var bytes = [UInt8](repeating: 0, count: standard.count / 4 * 3)
    guard EVP_DecodeBlock(&bytes, standard, Int32(standard.count)) == bytes.count else {
        return standard.isEmpty ? [] : nil
    }
    bytes.removeLast(padding)
    // Bits that no byte has would make a second text for the same bytes.
    return base64URLEncoded(bytes).elementsEqual(text) ? bytes : nil
}

/// Encodes as base64url without padding.
public func base64URLEncoded(_ bytes: [UInt8]) -> [UInt8] {
    var text = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
    let count = Int(EVP_EncodeBlock(&text, bytes, Int32(bytes.count)))
    return text.prefix(count).prefix { $0 != UInt8(ascii: "=") }.map { byte in
        switch byte {
        case UInt8(ascii: "+"): UInt8(ascii: "-")
        case UInt8(ascii: "/"): UInt8(ascii: "_")
        default: byte
        }
    }
}
