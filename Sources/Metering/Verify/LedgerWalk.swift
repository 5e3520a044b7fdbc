// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// The lines of a subject's ledger, from its head back to where the log begins.
struct LedgerWalk {
    /// The newest first.
    private(set) var lines: [LedgerLine] = []
    /// Whether the first line that ever was is among them.
    private(set) var isWhole = false
    /// Whether it begins with what a restore has found.
    private(set) var isRestored = false
    private(set) var faults: [Difference] = []

    /// - Parameter head: where the account says that its last lines are; 0 for none.
    init(of subject: [UInt8], head: Int, _ context: VerifyContext) async throws {
        let place = "account \(ByteString(bytes: subject).text)"
        var packed = head
        // Positions may grow on the way back: a clock that is behind others, or was set back, may write what comes next
        // into the log of the day before.
        var visited: Set<Int> = []
        while packed != 0 {
            let position = LogPosition(packed)
            let part: LedgerPart
            switch try await context.ledgers.part(of: subject, at: position, context) {
            case .part(let found) where visited.insert(packed).inserted: part = found
            case .missing:
                // A day's log expires as a whole, the oldest first.
                let key = context.keys.log(arrival: position.day)
                if Self.isOld(position, context),
                    try await context.send(RedisCommand("EXISTS", [key])).integer == 0
                {
                    return
                }
                faults.append(
                    Difference(
                        place, "lines at \(position.day) \(position.number)",
                        expected: "lines of the ledger", found: "nothing"))
                return
            case .part, .damaged:
                faults.append(
                    Difference(
                        place, "lines at \(position.day) \(position.number)",
                        expected: "lines of the ledger", found: "something else"))
                return
            }
            lines += part.lines.reversed()
            packed = part.previous
        }
        isWhole = true
        isRestored =
            lines.last.map { $0.kind == .correction && $0.reference?.text == "restored" } ?? false
    }

    private static func isOld(_ position: LogPosition, _ context: VerifyContext) -> Bool {
        let today = context.clock.now.milliseconds.flooredQuotient(86_400_000)
        return position.day.number < today - context.settings.eventsDays
    }
}

/// What one entry of the log has of one subject's ledger.
struct LedgerPart {
    /// The oldest first; at least one.
    let lines: [LedgerLine]
    /// Where the lines before them are; 0 for none.
    let previous: Int
}

/// The ledgers of entries of the log that were read last. Nothing but an erasure changes an entry, and the subjects
/// of a batch are asked for one after the other: each entry is decoded once for many of them.
final class LedgerParts {
    enum Finding {
        case part(LedgerPart)
        case missing
        case damaged
    }

    /// A batch has up to 10,000 subjects.
    private static let entryCountMax = 64

    private var entries: [LogPosition: [ByteString: LedgerPart]] = [:]

    /// Has entries read anew, which an erasure may have rewritten since.
    func forget() { entries.removeAll(keepingCapacity: true) }

    func part(
        of subject: [UInt8], at position: LogPosition, _ context: VerifyContext
    ) async throws -> Finding {
        if entries[position] == nil {
            let key = context.keys.log(arrival: position.day)
            let reply = try await context.send(.readLogEntry(key, position))
            guard let element = reply.elements?.first else { return .missing }
            guard let ledger = LogEntry.ledger(of: element) else { return .damaged }
            if entries.count >= Self.entryCountMax { entries.removeAll(keepingCapacity: true) }
            entries[position] = Self.parts(ledger)
        }
        return entries[position]?[ByteString(bytes: subject)].map(Finding.part) ?? .damaged
    }

    /// The whole ones: what is damaged is missing among them.
    private static func parts(_ ledger: [MessagePackValue]) -> [ByteString: LedgerPart] {
        var parts: [ByteString: LedgerPart] = [:]
        for index in stride(from: 0, to: ledger.count - 2, by: 3) {
            guard let subject = ledger[index].bytes, let previous = ledger[index + 1].integer,
                let flat = ledger[index + 2].array
            else { continue }
            let lines = LedgerLine.lines(flat) { _ in nil }
            guard !lines.isEmpty, lines.count == flat.count / 6 else { continue }
            parts[ByteString(bytes: subject)] = LedgerPart(lines: lines, previous: previous)
        }
        return parts
    }
}
