// SPDX-License-Identifier: Apache-2.0

/// The rules for what stands between method and version.
enum RequestTarget {
    /// Checks an origin-form target and parts it at the first question mark.
    static func split(
        _ target: UnsafeRawBufferPointer
    ) throws(HTTPProblem) -> (path: String, query: String?) {
        guard target.first == 0x2f else {
            throw .invalid("invalid_uri", "The request target is no path.")
        }
        var mark: Int?
        var isPlain = true
        var previous: UInt8 = 0
        for index in 0..<target.count {
            let byte = target[index]
            guard byte > 0x20, byte < 0x7f, byte != 0x23 else {
                throw .invalid("invalid_uri", "A character that a URI may not hold.")
            }
            if byte == 0x3f, mark == nil { mark = index }
            if byte == 0x25 || (byte == 0x2e && previous == 0x2f) { isPlain = false }
            previous = byte
        }
        let path = UnsafeRawBufferPointer(rebasing: target[..<(mark ?? target.count)])
        let query = mark.map { UnsafeRawBufferPointer(rebasing: target[($0 + 1)...]) }
        if !isPlain {
            // Parted first, as RFC 3986 has it (2.4): an escaped slash belongs to a name, such as an id,
            // and escaped dots are dots all the same.
            for segment in path.split(separator: 0x2f) {
                let name = try decode(UnsafeRawBufferPointer(rebasing: segment))
                guard name != [0x2e], name != [0x2e, 0x2e] else {
                    throw .invalid("invalid_uri", "A path with dot segments.")
                }
            }
            if let query { _ = try decode(query) }
        }
        return (
            String(decoding: path, as: UTF8.self), query.map { String(decoding: $0, as: UTF8.self) }
        )
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) throws(HTTPProblem) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            guard bytes[index] == 0x25 else {
                decoded.append(bytes[index])
                index += 1
                continue
            }
            guard index + 2 < bytes.count, let high = ASCII.hexValue(bytes[index + 1]),
                let low = ASCII.hexValue(bytes[index + 2])
            else { throw .invalid("invalid_uri", "A percent sign without two hexadecimal digits.") }
            let byte = high << 4 | low
            guard byte >= 0x20, byte != 0x7f else {
                throw .invalid("invalid_uri", "An escaped control character.")
            }
            decoded.append(byte)
            index += 3
        }
        guard String(validating: decoded, as: UTF8.self) != nil else {
            throw .invalid("invalid_uri", "Escapes that are no UTF-8.")
        }
        return decoded
    }
}
