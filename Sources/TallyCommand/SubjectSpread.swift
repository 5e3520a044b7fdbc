// SPDX-License-Identifier: Apache-2.0

/// Gives lines without a subject one of N, as unevenly as real users are: subject k is drawn with
/// weight 1/k (Zipf's law).
///
/// A line's subject depends on the seed and the line only, so an import can be repeated, and
/// resumed anywhere, with the same result.
struct SubjectSpread: Sendable {
    let seed: UInt64
    /// The sums of the weights up to each subject.
    private let sums: [Double]

    init(subjects: Int, seed: UInt64) {
        self.seed = seed
        var sum = 0.0
        sums = (1...max(1, subjects)).map { rank in
            sum += 1 / Double(rank)
            return sum
        }
    }

    /// O(log subjects).
    func subject(line: Int) -> String {
        let unit = Double(random(UInt64(line)) >> 11) * 0x1p-53
        let target = unit * (sums.last ?? 1)
        var low = 0
        var high = sums.count - 1
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] > target { high = middle } else { low = middle + 1 }
        }
        return "user-\(low + 1)"
    }

    /// The n-th number of SplitMix64, whose state is nothing but seed + n * gamma.
    private func random(_ index: UInt64) -> UInt64 {
        var bits = seed &+ index &* 0x9e37_79b9_7f4a_7c15
        bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
        return bits ^ (bits >> 31)
    }
}
