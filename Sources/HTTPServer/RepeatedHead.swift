// SPDX-License-Identifier: Apache-2.0

internal import Glibc

// A client that keeps its connection sends the same head again and again; of a body of another
// length only Content-Length differs. The same bytes at the same place mean the same, so what was
// found to be right and taken apart once is not parsed and checked anew.

extension RequestHead {
    /// Longer heads are not remembered: connections that wait are to cost little.
    static let bytesRemembered = 2048

    /// This head as it stands at the start of these bytes: in the same bytes, but for other digits,
    /// as many, in Content-Length. Nil when there is another head, or not all of it, and where a chunked body
    /// follows: the parser reads that, and has to know from the head that it comes.
    func repeated(in bytes: UnsafeRawBufferPointer, maxBody: Int) -> RequestHead? {
        if case .chunked = framing { return nil }
        return headers.withHead { head in
            guard bytes.count >= head.count else { return nil }
            let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<head.count])
            if Self.areEqual(bytes, head, 0..<head.count) { return self }
            guard case .length = framing, let digits = headers.range(of: "content-length"),
                Self.areEqual(bytes, head, 0..<digits.lowerBound),
                Self.areEqual(bytes, head, digits.upperBound..<head.count),
                let length = Self.number(UnsafeRawBufferPointer(rebasing: bytes[digits])),
                (1...maxBody).contains(length)
            else { return nil }
            var other = self
            other.headers = headers.copied(from: bytes)
            other.framing = .length(length)
            return other
        }
    }

    private static func areEqual(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, _ range: Range<Int>
    ) -> Bool {
        guard let left = left.baseAddress, let right = right.baseAddress else { return true }
        return memcmp(left + range.lowerBound, right + range.lowerBound, range.count) == 0
    }

    /// Nil for anything but a few digits.
    private static func number(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count <= 9 else { return nil }
        var number = 0
        for byte in bytes {
            guard ASCII.isDigit(byte) else { return nil }
            number = number * 10 + Int(byte - 0x30)
        }
        return number
    }
}
