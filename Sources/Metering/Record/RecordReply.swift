// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// What lua/record_events.lua answered.
enum RecordReply {
    /// Counted; an excluded event was counted before, at a place of an entry of the log.
    case counted(LogPosition, results: [Int], excluded: [Int: (LogPosition, place: Int)])
    /// A later batch of the same sender was counted: this one was given up and never will be.
    case stale
    /// Sent again with the `use` keys of these days it will go through.
    case mustLeave([CivilDay])
    /// A total of these subjects, or of a rollup, would pass 2^53 − 1.
    case overflow(subjects: [Int], rollup: Bool)

    /// Nil when the reply has another shape.
    init?(_ value: RedisValue) {
        guard case .array(let parts) = value, let kind = parts.first?.bytes else { return nil }
        func list(_ index: Int) -> [MessagePackValue]? {
            guard parts.indices.contains(index) else { return nil }
            return parts[index].bytes.flatMap { MessagePackValue($0) }?.array
        }
        switch String(decoding: kind, as: UTF8.self) {
        case "stale":
            self = .stale
        case "roll":
            guard let days = list(1) else { return nil }
            self = .mustLeave(days.compactMap { $0.integer.map { CivilDay(number: $0) } })
        case "overflow":
            guard let subjects = list(1), parts.count == 3, case .integer(let rollup) = parts[2]
            else {
                return nil
            }
            self = .overflow(
                subjects: subjects.compactMap { $0.integer.map { $0 - 1 } }, rollup: rollup == 1)
        case "counted":
            guard parts.count == 4, let position = parts[1].bytes, let results = list(2),
                let excluded = list(3), let packed = Int(String(decoding: position, as: UTF8.self))
            else { return nil }
            self = .counted(
                LogPosition(packed), results: results.compactMap(\.integer),
                excluded: Self.excluded(excluded))
        default:
            return nil
        }
    }

    private static func excluded(_ list: [MessagePackValue]) -> [Int: (LogPosition, place: Int)] {
        var excluded: [Int: (LogPosition, place: Int)] = [:]
        for index in stride(from: 0, to: list.count - 1, by: 2) {
            guard let place = list[index].integer, let origin = list[index + 1].bytes,
                origin.count == 9
            else { continue }
            let packed = origin.prefix(7).reduce(0) { $0 << 8 | Int($1) }
            let at = origin.suffix(2).reduce(0) { $0 << 8 | Int($1) }
            excluded[place] = (LogPosition(packed), at)
        }
        return excluded
    }
}
