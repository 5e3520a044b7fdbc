// SPDX-License-Identifier: Apache-2.0
//
// What boards need of the log, and nothing else of it: thousands of events a second pass here.

internal import Redis

/// An amount of a ranked meter that counted.
struct LogItem {
    let subject: ByteString
    let day: CivilDay
    /// Its place among the ranked meters.
    let meter: Int
    let amount: Int
}

/// The items of one entry of the log.
struct LogItems {
    /// The entry's number within its day of arrival.
    let number: Int
    let items: [LogItem]
}

/// Reads entries, for the meters that have leaderboards.
final class LogItemReader {
    private let calendar: CachedCalendar
    private let codes: [Int: Int]
    private let names: [ByteString: Int]

    init(_ settings: WorkspaceSettings) {
        calendar = CachedCalendar(settings.calendar)
        var codes: [Int: Int] = [:]
        var names: [ByteString: Int] = [:]
        for (index, meter) in settings.rankedMeters.enumerated() {
            if let code = meter.code {
                codes[code] = index
            } else {
                names[ByteString(meter.name)] = index
            }
        }
        self.codes = codes
        self.names = names
    }

    /// Reads an entry as XRANGE gives it; nil when it is damaged.
    func items(_ value: RedisValue) -> LogItems? {
        guard case .array(let pair) = value, pair.count == 2, let id = pair[0].bytes,
            case .array(let fields) = pair[1], fields.count >= 6, let blob = fields[1].bytes,
            let dash = id.lastIndex(of: UInt8(ascii: "-")),
            let number = Int(String(decoding: id[(dash + 1)...], as: UTF8.self)),
            let excluded = fields[5].bytes.flatMap({ excluded($0) }),
            let items = blob.withUnsafeBytes({ read($0, excluded) })
        else { return nil }
        return LogItems(number: number, items: items)
    }

    private func excluded(_ bytes: [UInt8]) -> Set<Int>? {
        guard let list = MessagePackValue(bytes)?.array else { return nil }
        return Set(stride(from: 0, to: list.count, by: 2).compactMap { list[$0].integer })
    }

    /// See `LogEntry.encode`.
    private func read(_ bytes: UnsafeRawBufferPointer, _ excluded: Set<Int>) -> [LogItem]? {
        var cursor = PackedCursor(bytes)
        guard let parts = cursor.array(), LogEntry.partCounts.contains(parts),
            cursor.integer() == LogEntry.version,
            let subjects = strings(&cursor), let sets = sets(&cursor), let count = cursor.array(),
            count % 2 == 0
        else { return nil }
        var rows: [(subject: Int, set: Int)] = []
        rows.reserveCapacity(count / 2)
        for _ in 0..<count / 2 {
            guard let subject = cursor.integer(), let set = cursor.integer(),
                subjects.indices.contains(subject - 1), sets.indices.contains(set - 1)
            else { return nil }
            rows.append((subject - 1, set - 1))
        }
        guard let labels = cursor.array() else { return nil }
        for _ in 0..<labels where !cursor.skip() { return nil }
        guard let events = cursor.array() else { return nil }
        var items: [LogItem] = []
        for place in 0..<events {
            // Row, cell, time, flags, id, description, amounts.
            guard let count = cursor.array(), let row = cursor.integer(),
                rows.indices.contains(row - 1), cursor.skip(), let time = cursor.integer(),
                cursor.skip(), cursor.skip(), cursor.skip()
            else { return nil }
            let (subject, set) = rows[row - 1]
            guard count == 6 + sets[set].count else { return nil }
            let isCounted = !excluded.contains(place + 1)
            for meter in sets[set] {
                guard let amount = cursor.integer() else { return nil }
                guard isCounted, let meter, amount != 0 else { continue }
                items.append(
                    LogItem(
                        subject: subjects[subject],
                        day: calendar.place(Timestamp(milliseconds: time)).day, meter: meter,
                        amount: amount))
            }
        }
        return items
    }

    private func strings(_ cursor: inout PackedCursor) -> [ByteString]? {
        guard let count = cursor.array() else { return nil }
        var strings: [ByteString] = []
        for _ in 0..<count {
            guard case .string(let text) = cursor.value() else { return nil }
            strings.append(text)
        }
        return strings
    }

    /// Per set of meters the places of its meters; nil for meters that are not ranked.
    private func sets(_ cursor: inout PackedCursor) -> [[Int?]]? {
        guard let count = cursor.array() else { return nil }
        var sets: [[Int?]] = []
        for _ in 0..<count {
            guard let meters = cursor.array() else { return nil }
            var set: [Int?] = []
            for _ in 0..<meters {
                switch cursor.value() {
                case .integer(let code): set.append(codes[code])
                case .string(let name): set.append(names[name])
                case nil: return nil
                }
            }
            sets.append(set)
        }
        return sets
    }
}
