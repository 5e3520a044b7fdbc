// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// What lua/record_events.lua answered.
enum RecordReply {
    /// What became of a batch.
    struct Done {
        let position: LogPosition
        /// See `BatchTotals`.
        let results: [Int]
        let excluded: [Int: Exclusion]
        /// Of the decisions, one behind the other, each with its length before it.
        let answers: [MessagePackValue]
        /// Subjects that are not counted.
        let uncounted: [ByteString: SkipReason]
        /// How long the call held Redis, in microseconds; nil when that was not asked for.
        let heldUS: Int?
    }

    /// Why an event of a batch did not count.
    enum Exclusion {
        /// It was counted before.
        case repeated(LogPosition, place: Int)
        /// Its decision says why.
        case refused
        /// Its subject is not counted.
        case skipped(SkipReason)
    }

    /// Done; an excluded event was counted before, at a place of an entry of the log, or refused.
    case done(Done)
    /// The rules that it was built by are not in force any more.
    case otherRules
    /// These guests are users by now: it has to be sent as theirs.
    case merged([ByteString: SubjectID])
    /// This subject is being erased, this moment: it can be counted again in a moment.
    case erasing(ByteString)
    /// A later batch of the same sender was counted: this one was given up and never will be.
    case stale
    /// Sent again with what moving subjects needs, and these days, it will go through.
    case mustMove([CivilDay])
    /// These days have left Redis, and have to come back before it can be counted.
    case cold([CivilDay])
    /// A total of these subjects, or of a rollup, would pass 2^53 − 1.
    case overflow(subjects: [Int], rollup: Bool)

    /// Nil when the reply has another shape.
    init?(_ value: RedisValue) {
        guard case .array(let parts) = value, let kind = parts.first?.bytes else { return nil }
        func list(_ index: Int) -> [MessagePackValue]? {
            guard parts.indices.contains(index) else { return nil }
            guard let bytes = parts[index].bytes else { return nil }
            // Empty tables of Lua come as a map or an array, and most are.
            return bytes == [0x80] || bytes == [0x90] ? [] : MessagePackValue(bytes)?.array
        }
        switch String(decoding: kind, as: UTF8.self) {
        case "stale":
            self = .stale
        case "rules":
            self = .otherRules
        case "merged":
            guard let names = list(1) else { return nil }
            self = .merged(Self.users(names))
        case "erasing":
            guard parts.count == 2, let subject = parts[1].bytes else { return nil }
            self = .erasing(ByteString(bytes: subject))
        case "move":
            guard let days = list(1) else { return nil }
            self = .mustMove(days.compactMap { $0.integer.map { CivilDay(number: $0) } })
        case "cold":
            guard let days = list(1) else { return nil }
            self = .cold(days.compactMap { $0.integer.map { CivilDay(number: $0) } })
        case "overflow":
            guard let subjects = list(1), parts.count == 3, case .integer(let rollup) = parts[2]
            else {
                return nil
            }
            self = .overflow(
                subjects: subjects.compactMap { $0.integer.map { $0 - 1 } }, rollup: rollup == 1)
        case "done":
            guard parts.count >= 6, let position = parts[1].bytes, let excluded = list(3),
                let results = parts[2].bytes.flatMap({ MessagePackView.read($0, \.integers) }),
                let packed = Int(String(decoding: position, as: UTF8.self)), let answers = list(4),
                let uncounted = list(5)
            else { return nil }
            self = .done(
                Done(
                    position: LogPosition(packed), results: results,
                    excluded: Self.excluded(excluded), answers: answers,
                    uncounted: Self.uncounted(uncounted),
                    heldUS: parts.count > 6 ? parts[6].integer : nil))
        default:
            return nil
        }
    }

    private static func users(_ list: [MessagePackValue]) -> [ByteString: SubjectID] {
        var users: [ByteString: SubjectID] = [:]
        for index in stride(from: 0, to: list.count - 1, by: 2) {
            guard let guest = list[index].bytes, let user = list[index + 1].bytes else { continue }
            users[ByteString(bytes: guest)] = SubjectID(stored: ByteString(bytes: user))
        }
        return users
    }

    private static func uncounted(_ list: [MessagePackValue]) -> [ByteString: SkipReason] {
        var reasons: [ByteString: SkipReason] = [:]
        for index in stride(from: 0, to: list.count - 1, by: 2) {
            guard let subject = list[index].bytes,
                let reason = list[index + 1].bytes.flatMap({ SkipReason($0) })
            else { continue }
            reasons[ByteString(bytes: subject)] = reason
        }
        return reasons
    }

    private static func excluded(_ list: [MessagePackValue]) -> [Int: Exclusion] {
        var excluded: [Int: Exclusion] = [:]
        for index in stride(from: 0, to: list.count - 1, by: 2) {
            guard let place = list[index].integer, let origin = list[index + 1].bytes else {
                continue
            }
            if origin.count == 9 {
                let packed = origin.prefix(7).reduce(0) { $0 << 8 | Int($1) }
                let at = origin.suffix(2).reduce(0) { $0 << 8 | Int($1) }
                excluded[place] = .repeated(LogPosition(packed), place: at)
            } else if let reason = SkipReason(origin) {
                excluded[place] = .skipped(reason)
            } else {
                excluded[place] = .refused
            }
        }
        return excluded
    }
}
