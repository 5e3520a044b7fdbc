// SPDX-License-Identifier: Apache-2.0
//
// Sums by meter. A day may have a million subjects, so that their meters are not looked up by name
// each time: a table gives each meter a number, and sums lie in arrays by that.

internal import JSON

/// Numbers the meters of a day.
final class MeterTable {
    private var byCode: [Int] = []
    private var byName: [ByteString: Int] = [:]
    private var names: [[UInt8]] = []
    /// The meters' numbers, in the order of their names as bytes: so they stand in snapshots.
    private var order: [Int] = []

    /// The number of a standard meter; nil when there is no such.
    func place(code: Int) -> Int? {
        if byCode.indices.contains(code), byCode[code] >= 0 { return byCode[code] }
        guard let meter = Meter(code: code) else { return nil }
        if byCode.count <= code {
            byCode += Array(repeating: -1, count: code + 1 - byCode.count)
        }
        byCode[code] = append(meter.name)
        return byCode[code]
    }

    func place(name: ByteString) -> Int {
        if let place = byName[name] { return place }
        byName[name] = append(name.text)
        return names.count - 1
    }

    /// The meter of a number.
    func meter(at place: Int) -> Meter? {
        names.indices.contains(place) ? Meter(name: names[place]) : nil
    }

    func place(_ meter: Meter) -> Int {
        meter.code.flatMap { place(code: $0) } ?? place(name: ByteString(meter.name))
    }

    private func append(_ name: String) -> Int {
        names.append(Array(name.utf8))
        order.append(names.count - 1)
        order.sort { names[$0].lexicographicallyPrecedes(names[$1]) }
        return names.count - 1
    }

    /// The members `events` and `meters` of an object. A meter of which nothing is left is left out,
    /// as it is where a subject leaves its day.
    func write(_ sums: DaySums, _ json: inout JSONWriter) {
        json.key("events")
        json.integer(sums.events)
        json.key("meters")
        json.beginObject()
        for place in order where place < sums.amounts.count && sums.amounts[place] != 0 {
            json.key(bytes: names[place])
            json.integer(sums.amounts[place])
        }
        json.endObject()
    }
}

/// How many events, and their sums by the meters' numbers.
struct DaySums {
    var events = 0
    var amounts: [Int] = []

    /// Whether nothing is left, or nothing ever was.
    var isZero: Bool { events == 0 && amounts.allSatisfy { $0 == 0 } }

    mutating func add(_ amount: Int, at place: Int) {
        while amounts.count <= place { amounts.append(0) }
        // Sums of a day are bound where they are counted. What is not is a fault that is told, not a crash.
        let (sum, overflows) = amounts[place].addingReportingOverflow(amount)
        amounts[place] = overflows ? (amount < 0 ? .min : .max) : sum
    }

    mutating func add(_ other: DaySums, sign: Int = 1) {
        events += sign * other.events
        for (place, amount) in other.amounts.enumerated() where amount != 0 {
            add(sign &* amount, at: place)
        }
    }

    mutating func removeAll() {
        events = 0
        for place in amounts.indices { amounts[place] = 0 }
    }

    static func == (left: DaySums, right: DaySums) -> Bool {
        var difference = left
        difference.add(right, sign: -1)
        return difference.isZero
    }
}

/// Who used most of a meter on the day, gathered while the subjects go by in the order of their ids.
struct RankHead {
    static let countMax = 100

    let meter: Meter
    let place: Int
    private(set) var entries: [(subject: ByteString, value: Int)] = []

    init(_ meter: Meter, _ table: MeterTable) {
        self.meter = meter
        place = table.place(meter)
    }

    mutating func offer(_ sums: DaySums, of subject: [UInt8]) {
        guard place < sums.amounts.count, sums.amounts[place] > 0 else { return }
        let value = sums.amounts[place]
        if entries.count == Self.countMax {
            guard value > entries[entries.count - 1].value else { return }
            entries.removeLast()
        }
        // Behind those that have as much: their ids are lower.
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].value < value { high = middle } else { low = middle + 1 }
        }
        entries.insert((ByteString(bytes: subject), value), at: low)
    }
}

extension RollupField: Comparable {
    /// By hour, action and model.
    static func < (left: RollupField, right: RollupField) -> Bool {
        (left.hour ?? 0, left.action, left.model) < (right.hour ?? 0, right.action, right.model)
    }
}
