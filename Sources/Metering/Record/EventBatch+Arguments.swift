// SPDX-License-Identifier: Apache-2.0
//
// The arguments of lua/record_events.lua. Places in flat arrays are counted from 1, as Lua does.

internal import Cryptography

extension EventBatch {
    /// What the script's arguments need beyond the events.
    struct Context {
        let sequence: Int
        let arrival: CivilDay
        let today: CivilDay
        let ranked: [Meter]
        let lifetimes: Lifetimes
        /// Days beyond those of the batch that subjects may have to leave.
        let rolls: [CivilDay]
        let idGenerationCount: Int
        /// Whether the keys have what subjects need that leave a day or come late.
        let canMove: Bool
        let counts: CountPolicy
    }

    /// For how long what is dated stays in Redis, in seconds.
    struct Lifetimes {
        let log: Int
        let ids: Int
    }

    /// The arguments' part that its sums make, and its entry of the log.
    struct Packed {
        let sums: [UInt8]
        /// Nil where it tells when events were decided about, which is when the batch is sent.
        let entry: [UInt8]?
    }

    /// Whether a client named one of the events.
    var hasNamedEvents: Bool { events.contains { $0.event.id != nil } }

    /// The script's arguments, in its order.
    func arguments(
        _ context: Context, _ decisions: DecisionList, _ resets: [UInt8], _ digest: IDDigest,
        _ writer: MessagePackWriter
    ) -> [[UInt8]] {
        let packed = pack(digest, writer)
        writeHead(context, at: decisions.now, writer)
        let head = writer.take()
        decisions.write(resets, today: context.today, writer)
        writer.integer(context.counts == .registered ? 1 : 0)
        writer.integer(decisions.undoes ? 1 : 0)
        writer.integer(BatchBound.measures(items.count) ? 1 : 0)
        let sums = head + packed.sums + writer.take()
        return [sums, packed.entry ?? LogEntry.encode(self, at: decisions.now, writer)]
    }

    /// Makes what is most of the work of sending it, before it may be sent.
    @discardableResult
    func pack(_ digest: IDDigest, _ writer: MessagePackWriter) -> Packed {
        if let packed { return packed }
        writer.array(sums.subjects.count)
        for subject in sums.subjects { writer.string(subject.bytes) }
        writeSets(writer)
        writeRows(writer)
        writeFields(writer)
        writeCells(writer)
        writeIDs(digest, writer)
        let sums = writer.take()
        let tellsDecision = events.contains(where: \.countsWhenDecided)
        let made = Packed(sums: sums, entry: tellsDecision ? nil : LogEntry.encode(self, writer))
        packed = made
        return made
    }

    private func writeHead(
        _ context: Context, at now: Timestamp, _ writer: MessagePackWriter
    ) {
        writer.integer(context.sequence)
        writer.integer(context.arrival.number)
        writer.integer(context.today.number)
        writer.integers([context.lifetimes.log, context.lifetimes.ids])
        writer.array(context.ranked.count)
        for meter in context.ranked { writer.meter(meter) }
        writer.integers(sums.days.map(\.day.number))
        writer.integers(context.rolls.map(\.number))
        writer.integer(context.idGenerationCount)
        writer.integer(context.canMove ? 1 : 0)
        writer.integer(now.milliseconds)
        writer.string(rules.version)
    }

    func writeSets(_ writer: MessagePackWriter) {
        writer.array(sums.sets.count)
        for set in sums.sets {
            writer.array(set.count)
            for meter in set { writer.meter(meter) }
        }
    }

    private func writeRows(_ writer: MessagePackWriter) {
        writer.array(6 * sums.rows.count + sums.rowAmounts.count)
        for row in sums.rows {
            writer.integer(row.subject + 1)
            writer.integer(row.day + 1)
            writer.integer(row.set + 1)
            writer.integer(row.count)
            writer.integer(row.first)
            writer.integer(row.last)
            for place in row.base..<row.base + sums.sets[row.set].count {
                writer.integer(sums.rowAmounts[place])
            }
        }
    }

    private func writeFields(_ writer: MessagePackWriter) {
        writer.array(sums.days.count)
        for day in sums.days {
            writer.array(2)
            writer.array(day.hourFields.count)
            for field in day.hourFields { writer.string(field.bytes) }
            writer.array(day.dayFields.count)
            for field in day.dayFields { writer.string(field.bytes) }
        }
    }

    private func writeCells(_ writer: MessagePackWriter) {
        writer.array(5 * sums.cells.count + sums.cellAmounts.count)
        for cell in sums.cells {
            writer.integer(cell.key.day + 1)
            writer.integer(cell.hourField + 1)
            writer.integer(cell.dayField + 1)
            writer.integer(cell.key.set + 1)
            writer.integer(cell.count)
            for place in 0..<sums.sets[cell.key.set].count {
                writer.integer(sums.cellAmounts[cell.base + place])
            }
        }
    }

    private func writeIDs(_ digest: IDDigest, _ writer: MessagePackWriter) {
        let places = events.indices.filter { events[$0].event.id != nil }
        writer.array(places.count)
        for place in places {
            guard let id = events[place].event.id else { continue }
            writer.string(digest.digest(id.bytes))
        }
        writer.array(places.count)
        for place in places { writer.integer(place + 1) }
    }
}

extension EventBatch.Context {
    /// The keys of lua/record_events.lua, in its order.
    func keys(
        _ keys: Keyspace, sender: String, days: [CivilDay], generations: [Int], decides: Bool,
        hasAlerts: Bool, undoes: Bool
    ) -> [[UInt8]] {
        var names = [
            keys.subjects, keys.marker(sender: sender), keys.log(arrival: arrival), keys.rules,
            keys.demo, keys.registered, keys.people, keys.merged,
            keys.large, keys.erasing, keys.meta,
        ]
        for day in days {
            names += [keys.hours(day), keys.day(day)]
            for meter in ranked { names.append(keys.board(day, meter)) }
        }
        for generation in generations { names.append(keys.ids(generation: generation)) }
        if decides {
            names += [
                keys.accounts, keys.holds, keys.openHolds, keys.endedHolds, keys.grants,
                keys.reversed, keys.merges,
            ]
        }
        if hasAlerts { names += [keys.alertsTold, keys.lastNotice, keys.notices, keys.dueNotices] }
        if canMove { names += (days + rolls).map { keys.use($0) } }
        if undoes { names += [keys.erasures, keys.openErasures, keys.orderedErasures] }
        names += [keys.cold, keys.changes]
        return names
    }
}

extension MessagePackWriter {
    /// A meter as scripts know it: by its code, or its name.
    func meter(_ meter: Meter) {
        if let code = meter.code { integer(code) } else { string(meter.name) }
    }
}

/// The name of a rollup in its hash: the start of the hour where it has one, action and model.
struct RollupField: Hashable {
    /// No text of users may hold it.
    private static let separator: UInt8 = 0x1f

    /// Start of the hour, seconds since 1970; nil for a whole day.
    let hour: Int?
    let action: ByteString
    let model: ByteString

    init(hour: Int?, action: ByteString, model: ByteString) {
        self.hour = hour
        self.action = action
        self.model = model
    }

    init?(_ bytes: [UInt8], isHourly: Bool) {
        let parts = bytes.split(separator: Self.separator, omittingEmptySubsequences: false)
        guard parts.count == (isHourly ? 3 : 2) else { return nil }
        hour = isHourly ? Int(String(decoding: parts[0], as: UTF8.self)) : nil
        action = ByteString(bytes: Array(parts[parts.count - 2]))
        model = ByteString(bytes: Array(parts[parts.count - 1]))
    }

    var bytes: [UInt8] {
        (hour.map { Array("\($0)".utf8) + [Self.separator] } ?? []) + action.bytes + [
            Self.separator
        ] + model.bytes
    }
}
