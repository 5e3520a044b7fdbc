// SPDX-License-Identifier: Apache-2.0

/// Something that waits for a place.
protocol Turn: Sendable {
    /// On whose behalf: nobody's many keep others waiting.
    var sender: String { get }
    /// What it leads to: one that hangs does not hold all places.
    var host: String { get }
}

/// Places for some at a time, which senders take in turns.
struct Turns<Item: Turn> {
    let countMax: Int
    let ofSenderMax: Int
    let ofHostMax: Int
    private var waiting: [Item] = []
    private var count = 0
    private var ofSender: [String: Int] = [:]
    private var ofHost: [String: Int] = [:]

    init(countMax: Int, ofSenderMax: Int, ofHostMax: Int) {
        self.countMax = countMax
        self.ofSenderMax = ofSenderMax
        self.ofHostMax = ofHostMax
    }

    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ item: Item) { waiting.append(item) }

    /// Gives a place to the first of the sender that has the fewest; nil when nobody may have one now.
    mutating func next() -> Item? {
        guard count < countMax else { return nil }
        var best: (index: Int, places: Int)?
        for (index, item) in waiting.enumerated() {
            let places = ofSender[item.sender] ?? 0
            guard places < min(ofSenderMax, best?.places ?? .max),
                (ofHost[item.host] ?? 0) < ofHostMax
            else { continue }
            best = (index, places)
            if places == 0 { break }
        }
        guard let best else { return nil }
        let item = waiting.remove(at: best.index)
        count += 1
        ofSender[item.sender, default: 0] += 1
        ofHost[item.host, default: 0] += 1
        return item
    }

    /// Gives a place back.
    mutating func end(_ item: Item) {
        count -= 1
        Self.lower(&ofSender, item.sender)
        Self.lower(&ofHost, item.host)
    }

    /// Takes away those that wait and are wanted no more.
    mutating func remove(where isOver: (Item) -> Bool) -> [Item] {
        let removed = waiting.filter(isOver)
        if !removed.isEmpty { waiting.removeAll(where: isOver) }
        return removed
    }

    private static func lower(_ counts: inout [String: Int], _ key: String) {
        let left = (counts[key] ?? 0) - 1
        counts[key] = left > 0 ? left : nil
    }
}
