// SPDX-License-Identifier: Apache-2.0

/// Prices by the beginning of a model's name; the longest that fits is found in O(log n).
struct PrefixPrices: Equatable, Sendable {
    private struct Entry: Equatable, Sendable {
        let prefix: ByteString
        let prices: ModelPrices
        /// Where the longest other prefix stands with which this one begins.
        let shorter: Int?
    }

    /// In the order of the bytes, so that prefixes stand before what begins with them.
    private let entries: [Entry]

    init(_ prices: [ByteString: ModelPrices]) {
        var entries: [Entry] = []
        for (prefix, prices) in prices.sorted(by: { $0.key < $1.key }) {
            var shorter = entries.indices.last
            while let place = shorter, !prefix.bytes.starts(with: entries[place].prefix.bytes) {
                shorter = entries[place].shorter
            }
            entries.append(Entry(prefix: prefix, prices: prices, shorter: shorter))
        }
        self.entries = entries
    }

    /// The prices of the longest prefix with which a name begins, nil when there is none.
    func longest(of name: ByteString) -> ModelPrices? {
        // What stands between a prefix and a name that begins with it begins with it, too. So
        // every prefix of the name is the last entry that is not after it, or a prefix of that.
        var place = lastEntry(notAfter: name)
        while let candidate = place {
            let entry = entries[candidate]
            if name.bytes.starts(with: entry.prefix.bytes) { return entry.prices }
            place = entry.shorter
        }
        return nil
    }

    private func lastEntry(notAfter name: ByteString) -> Int? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if name < entries[middle].prefix { high = middle } else { low = middle + 1 }
        }
        return low == 0 ? nil : low - 1
    }
}
