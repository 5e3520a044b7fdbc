// SPDX-License-Identifier: Apache-2.0

public import JSON

extension EventDecoder {
    /// A size in bytes: digits only, 0 to 2^53 − 1.
    public static func size(
        _ value: JSONValue, _ field: @autoclosure () -> String
    ) throws(EventRejection) -> Int {
        try amount(value, field())
    }

    /// A number of seconds as milliseconds, rounded half up: 0 to 9007199254. Programs that measure
    /// time send as many digits as they have; those behind the sixth decimal are left out.
    public static func seconds(
        _ value: JSONValue, _ field: @autoclosure () -> String
    ) throws(EventRejection) -> Int {
        guard let bytes = value.number else {
            throw .wrongType(field(), "a number of seconds")
        }
        var text = String(decoding: bytes, as: UTF8.self)
        if text.utf8.contains(where: { $0 | 0x20 == UInt8(ascii: "e") }) {
            // Only what is very short or very long is written so.
            guard let seconds = Double(text), seconds >= 0, seconds <= 9_007_199_254 else {
                throw EventRejection(
                    code: "out_of_range", field: field(), detail: "0 to 9007199254 seconds")
            }
            return Int((seconds * 1000).rounded())
        }
        if let point = text.utf8.firstIndex(of: UInt8(ascii: ".")) {
            let end = text.utf8.index(point, offsetBy: 7, limitedBy: text.utf8.endIndex)
            text = String(text[..<(end ?? text.endIndex)])
        }
        return (try MicroDecimal.micros(text, field()) + 500) / 1000
    }
}
