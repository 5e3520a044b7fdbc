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
        while packed != 0 {
            let position = LogPosition(packed)
            let key = context.keys.log(arrival: position.day)
            let reply = try await context.send(.readLogEntry(key, position))
            guard let element = reply.elements?.first else {
                // A day's log expires as a whole, the oldest first.
                if packed == head || Self.isOld(position, context) {
                    if try await context.send(RedisCommand("EXISTS", [key])).integer == 0,
                        Self.isOld(position, context)
                    {
                        return
                    }
                }
                faults.append(
                    Difference(
                        place, "lines at \(position.day) \(position.number)",
                        expected: "lines of the ledger", found: "nothing"))
                return
            }
            guard let entry = LogEntry(element, arrival: position.day),
                let (newer, previous) = Self.part(of: subject, entry), !newer.isEmpty,
                previous < packed
            else {
                faults.append(
                    Difference(
                        place, "lines at \(position.day) \(position.number)",
                        expected: "lines of the ledger", found: "something else"))
                return
            }
            lines += newer.reversed()
            packed = previous
        }
        isWhole = true
        isRestored =
            lines.last.map { $0.kind == .correction && $0.reference?.text == "restored" } ?? false
    }

    private static func isOld(_ position: LogPosition, _ context: VerifyContext) -> Bool {
        let today = context.clock.now.milliseconds.flooredQuotient(86_400_000)
        return position.day.number < today - context.settings.eventsDays
    }

    private static func part(
        of subject: [UInt8], _ entry: LogEntry
    ) -> (lines: [LedgerLine], previous: Int)? {
        for index in stride(from: 0, to: entry.ledger.count - 2, by: 3)
        where entry.ledger[index].bytes == subject {
            guard let previous = entry.ledger[index + 1].integer,
                let flat = entry.ledger[index + 2].array
            else { return nil }
            let lines = LedgerLine.lines(flat) { _ in nil }
            return lines.count == flat.count / 6 ? (lines, previous) : nil
        }
        return nil
    }
}
