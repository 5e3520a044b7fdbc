// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Ids of subjects, sorted and each once, in one piece of memory of a bounded size.
///
/// When more ids come than there is room for, it keeps the lower half and says from where on ids
/// were left out: they are for another list, above this one.
struct SubjectList {
    /// Ids with their length (2 bytes) before them.
    private var bytes: [UInt8] = []
    /// Where the ids begin.
    private var starts: [UInt32] = []
    private let byteCountMax: Int
    private let lower: [UInt8]
    /// The first id that was left out; nil for none.
    private(set) var upper: [UInt8]?

    /// A list of ids from `lower` on.
    init(from lower: [UInt8], byteCountMax: Int) {
        self.lower = lower
        self.byteCountMax = byteCountMax
    }

    var count: Int { starts.count }

    subscript(index: Int) -> [UInt8] {
        let start = Int(starts[index])
        let count = Int(bytes[start]) << 8 | Int(bytes[start + 1])
        return Array(bytes[start + 2..<start + 2 + count])
    }

    mutating func add(_ id: [UInt8]) {
        if id.lexicographicallyPrecedes(lower) { return }
        if bytes.count + id.count + 2 > byteCountMax { halve() }
        if let upper, !id.lexicographicallyPrecedes(upper) { return }
        starts.append(UInt32(bytes.count))
        bytes.append(UInt8(truncatingIfNeeded: id.count >> 8))
        bytes.append(UInt8(truncatingIfNeeded: id.count))
        bytes.append(contentsOf: id)
    }

    /// Sorts the ids as bytes; those that came twice are there once afterwards.
    mutating func sort() {
        bytes.withUnsafeBytes { bytes in
            starts.sort { Self.order(bytes, $0, $1) < 0 }
            var kept = 0
            for index in starts.indices
            where kept == 0 || Self.order(bytes, starts[kept - 1], starts[index]) != 0 {
                starts[kept] = starts[index]
                kept += 1
            }
            starts.removeLast(starts.count - kept)
        }
    }

    private mutating func halve() {
        sort()
        guard count > 1 else { return }
        upper = self[count / 2]
        var half = SubjectList(from: lower, byteCountMax: .max)
        for index in 0..<count / 2 { half.add(self[index]) }
        (bytes, starts) = (half.bytes, half.starts)
    }

    private static func order(_ bytes: UnsafeRawBufferPointer, _ one: UInt32, _ other: UInt32)
        -> Int
    {
        let (left, right) = (Int(one), Int(other))
        let leftCount = Int(bytes[left]) << 8 | Int(bytes[left + 1])
        let rightCount = Int(bytes[right]) << 8 | Int(bytes[right + 1])
        guard let base = bytes.baseAddress else { return 0 }
        let difference = memcmp(base + left + 2, base + right + 2, min(leftCount, rightCount))
        return difference == 0 ? leftCount - rightCount : Int(difference)
    }
}
