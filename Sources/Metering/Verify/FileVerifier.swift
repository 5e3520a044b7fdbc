// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// Whether what a day's file says of itself agrees: its sums, its order, its ranks.
struct FileVerifier {
    private static let sums: Set<String> = ["hours", "actions", "models", "cells", "subjects"]

    private let day: SnapshotSource.Day
    private let report: (Difference) -> Void
    private var totals: UsedAmounts?
    private var lists: [String: UsedAmounts] = [:]
    private var cells: [String: [[[UInt8]]: UsedAmounts]] = [:]
    private var last: [[UInt8]] = []
    private var list = ""
    private var subjectCount = 0
    private var ranked: [Meter: RankHead] = [:]
    private let table = MeterTable()

    init(_ day: SnapshotSource.Day, _ report: @escaping (Difference) -> Void) {
        self.day = day
        self.report = report
    }

    /// - Parameter pause: called now and then.
    mutating func run(pause: (_ readCount: Int) async throws -> Void) async throws {
        try readRanked()
        let pieces = try SnapshotPieces(day.path)
        var seen = 0
        while let piece = try pieces.next() {
            switch piece {
            case .members(let value): try read(value)
            case .list(let name):
                list = name
                last = []
                if Self.sums.contains(name) { lists[name] = UsedAmounts() }
            case .element(let value): try add(value, pieces)
            case .text: break
            }
            if pieces.lines.readCount - seen >= 1 << 20 {
                try await pause(pieces.lines.readCount - seen)
                seen = pieces.lines.readCount
            }
        }
        compareSums()
    }

    private func differs(_ what: String, expected: String, found: String) {
        report(Difference(day.path, what, expected: expected, found: found))
    }

    /// Which meters have ranks: they stand behind the subjects.
    private mutating func readRanked() throws {
        let lines = try SnapshotLines(day.path)
        let reader = try JSONReader()
        while let line = try lines.next() {
            guard line.starts(with: #""subject_count":"#.utf8) else { continue }
            let json = [UInt8(ascii: "{")] + line.dropLast(2) + [UInt8(ascii: "}")]
            for (name, _) in try reader.read(json)["ranks"]?.members ?? reader.read("{}").members {
                if let meter = Meter(name: name.bytes) { ranked[meter] = RankHead(meter, table) }
            }
        }
    }

    private mutating func read(_ value: JSONValue) throws {
        if value["events"] != nil { totals = UsedAmounts(value) }
        guard let count = value["subject_count"]?.integer else { return }
        if count != subjectCount {
            differs("subject_count", expected: "\(subjectCount)", found: "\(count)")
        }
        for (name, list) in value["ranks"]?.members ?? value.members where name.text != "ranks" {
            guard let meter = Meter(name: name.bytes), let head = ranked[meter] else { continue }
            let expected = head.entries.map { "\($0.subject.text) \($0.value)" }
            let found = list.elements.map { entry in
                "\(entry["subject"]?.text ?? "") \(entry["value"]?.integer ?? 0)"
            }
            for rank in 0..<max(expected.count, found.count) {
                let (left, right) = (
                    rank < expected.count ? expected[rank] : "nobody",
                    rank < found.count ? found[rank] : "nobody"
                )
                if left != right {
                    differs("rank \(rank + 1) of \(meter.name)", expected: left, found: right)
                }
            }
        }
    }

    private mutating func add(_ value: JSONValue, _ pieces: SnapshotPieces) throws {
        guard let used = UsedAmounts(value), let key = SnapshotElement.key(value, in: list) else {
            throw pieces.fault("a line of \(list) is not what a snapshot has")
        }
        if !last.isEmpty, !SnapshotElement.precedes(last, key) {
            differs(
                "order of \(list)", expected: "each once, sorted",
                found: "\(SnapshotElement.name(key)) after \(SnapshotElement.name(last))")
        }
        last = key
        lists[list]?.add(used)
        if list == "subjects" {
            subjectCount += 1
            var sums = DaySums()
            for (meter, amount) in used.amounts { sums.add(amount, at: table.place(meter)) }
            for meter in ranked.keys { ranked[meter]?.offer(sums, of: key[0]) }
        } else if list == "cells" {
            for (name, part) in zip(["hours", "actions", "models"], key) {
                cells[name, default: [:]][[part], default: UsedAmounts()].add(used)
            }
        }
        if ["hours", "actions", "models"].contains(list) {
            // Taken off again by the cells: what is left differs.
            cells["-" + list, default: [:]][key] = used
        }
    }

    private func compareSums() {
        guard let totals else {
            return differs("totals", expected: "events, meters", found: "none")
        }
        for (name, sum) in lists.sorted(by: { $0.key < $1.key }) {
            for (meter, mine, other) in totals.differences(from: sum) {
                differs("\(meter) of all \(name)", expected: "\(mine)", found: "\(other)")
            }
        }
        for name in ["hours", "actions", "models"] {
            let (sums, told) = (cells[name] ?? [:], cells["-" + name] ?? [:])
            for key in Set(sums.keys).union(told.keys) {
                let sum = sums[key] ?? UsedAmounts()
                for (meter, mine, other) in sum.differences(from: told[key] ?? UsedAmounts()) {
                    differs(
                        "\(meter) of \(name) \(SnapshotElement.name(key))", expected: "\(mine)",
                        found: "\(other)")
                }
            }
        }
    }
}

/// Elements of the lists of snapshots, by what tells them apart.
enum SnapshotElement {
    static func key(_ value: JSONValue, in list: String) -> [[UInt8]]? {
        func text(_ name: StaticString) -> [UInt8]? { value[name]?.string.map { Array($0) } }
        func pair(_ one: StaticString, _ other: StaticString) -> [[UInt8]]? {
            guard let one = text(one), let other = text(other) else { return nil }
            return [one, other]
        }
        switch list {
        case "hours": return text("hour").map { [$0] }
        case "actions": return text("action").map { [$0] }
        case "models": return text("model").map { [$0] }
        case "cells":
            guard let hour = text("hour"), let rest = pair("action", "model") else { return nil }
            return [hour] + rest
        case "pool": return [[]]
        case "pool_keys", "api_keys", "erasures": return text("id").map { [$0] }
        case "pool_providers": return text("provider").map { [$0] }
        case "subjects", "accounts", "people", "merged", "times", "pool_holders", "alerts_told":
            return text("subject").map { [$0] }
        case "grants":
            // As Redis has them: by the length of the subject first.
            return pair("subject", "id").map { [GrantRecord.name(of: $0[0], $0[1])] }
        case "entries":
            let id = value["id"]?.text.flatMap { AuditPosition($0) }
            return id.map { [Array($0.orderedText.utf8)] }
        case "holds": return text("id").map { [$0] }
        case "reversed":
            guard let id = text("event"),
                let (origin, place) = LogPosition.parse(ByteString(bytes: id))
            else { return nil }
            return [origin.pointer(place: place).bytes]
        default: return nil
        }
    }

    static func precedes(_ left: [[UInt8]], _ right: [[UInt8]]) -> Bool {
        for (one, other) in zip(left, right) where one != other {
            return one.lexicographicallyPrecedes(other)
        }
        return false
    }

    static func name(_ key: [[UInt8]]) -> String {
        key.map { part in
            // The length of a subject is no text.
            if let high = part.first, high < 2, part.count > 2 {
                let count = Int(high) << 8 | Int(part[1])
                let (subject, id) = (part.dropFirst(2).prefix(count), part.dropFirst(2 + count))
                return String(decoding: subject, as: UTF8.self) + " "
                    + String(decoding: id, as: UTF8.self)
            }
            return part.isEmpty ? "\"\"" : String(decoding: part, as: UTF8.self)
        }
        .joined(separator: " ")
    }
}
