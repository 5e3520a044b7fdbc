// SPDX-License-Identifier: Apache-2.0
//
// Minutes and counts of subjects are not kept by the script that records events: the log holds all
// that they need, and they are brought up along it, now and then and before they are read. Each
// change names the state that it was made from, so that nothing counts twice, whoever makes it.

internal import Redis

/// Follows the log for sums by minute, and for the subjects of minutes, hours, days and months.
final class UsageFollower {
    /// How far back minutes can be asked for.
    static let minuteCountMax = 120
    /// Events of one change: one or two milliseconds of Redis.
    private static let eventsPerChange = 200
    private static let entriesPerReadMax = 20
    private static let daysPerRead = 3
    private static let triesMax = 50
    /// For how long subjects of open days, and minutes, are kept, in seconds.
    private static let dayTTL = 5 * 86_400
    private static let minuteTTL = 3 * 3600

    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let calendar: CachedCalendar
    private let laterLogs: LaterLogs
    private let writer = MessagePackWriter()
    /// As many entries as one change takes, going by those that were read last.
    private var entriesPerRead = entriesPerReadMax
    /// How many changes it has made.
    private(set) var changeCount = 0

    /// - Parameter laterLogs: nil for its own.
    init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock,
        laterLogs: LaterLogs? = nil
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        keys = Keyspace(settings)
        self.laterLogs = laterLogs ?? LaterLogs(client, keys, clock)
        calendar = CachedCalendar(settings.calendar)
    }

    /// Goes along the log until a moment after the call.
    ///
    /// - Parameter deadlineMS: of the monotonic clock.
    /// - Returns: whether the end was reached by then.
    func catchUp(deadlineMS: Int) async throws(MeteringError) -> Bool {
        var tries = 0
        while clock.monotonicMS <= deadlineMS {
            let packed = try await send(RedisCommand("GET", [keys.followed])).bytes ?? []
            var followed = try followed(packed)
            guard let (change, isLast) = try await change(behind: &followed) else { return true }
            let applied = try await apply(change, expected: packed, followed)
            if applied { changeCount += 1 }
            if applied, isLast { return true }
            tries = applied ? 0 : tries + 1
            if tries > Self.triesMax { return false }
        }
        return false
    }

    // MARK: Reading the log

    private var today: Int { clock.now.milliseconds.flooredQuotient(86_400_000) }

    private func followed(_ packed: [UInt8]) throws(MeteringError) -> FollowedLogs {
        // What came before the first follow may have come long ago: all that Redis may have is read.
        let oldest = today - settings.lifetimes.log / 86_400
        if packed.isEmpty { return FollowedLogs(floor: oldest) }
        guard var followed = FollowedLogs(packed) else {
            throw .damaged(what: "how far the log was followed")
        }
        // Clocks of other processes may be behind by some minutes.
        followed.lowerFloor(to: today - 1)
        return followed
    }

    /// What the next entries add, and whether none came behind them; nil when there are none.
    private func change(
        behind followed: inout FollowedLogs
    ) async throws(MeteringError) -> (UsageChange, isLast: Bool)? {
        // Clocks of other processes may be ahead by some minutes.
        let last = max(today + 1, try await laterLogs.last())
        let days = Array(followed.floor...max(followed.floor, last))
        for from in stride(from: 0, to: days.count, by: Self.daysPerRead) {
            let turn = days[from..<min(from + Self.daysPerRead, days.count)]
            let asked = entriesPerRead
            let replies = try await send(turn.map { read($0, behind: followed[$0], asked) })
            guard let index = replies.firstIndex(where: { $0.elements?.isEmpty == false }) else {
                continue
            }
            let entries = replies[index].elements ?? []
            var change = UsageChange(now: clock.now, hotDays: settings.hotDays)
            let count = try add(entries, of: days[from + index], to: &change, &followed)
            entriesPerRead = max(
                1,
                min(
                    Self.entriesPerReadMax, Self.eventsPerChange * count / max(1, change.eventCount)
                )
            )
            let isLast =
                count == entries.count && count < asked && turn.endIndex == days.count
                && replies[(index + 1)...].allSatisfy { $0.elements?.isEmpty ?? true }
            return (change, isLast)
        }
        return nil
    }

    /// Adds as many entries as one change may hold.
    ///
    /// - Returns: how many.
    private func add(
        _ entries: [RedisValue], of day: Int, to change: inout UsageChange,
        _ followed: inout FollowedLogs
    ) throws(MeteringError) -> Int {
        for (index, element) in entries.enumerated() {
            guard let entry = LogEntry(element, arrival: CivilDay(number: day)) else {
                throw .damaged(what: "an entry of the log")
            }
            // No entry is longer than a batch, which one change may always add.
            if change.eventCount > 0,
                change.eventCount + entry.events.count > Self.eventsPerChange
            {
                return index
            }
            change.add(entry, calendar)
            followed[day] = entry.position.number
            // Days before it had nothing left, and nothing arrives on them any more.
            followed.raiseFloor(to: min(today - 1, day))
        }
        return entries.count
    }

    private func read(_ day: Int, behind number: Int, _ count: Int) -> RedisCommand {
        RedisCommand(
            "XRANGE",
            [
                keys.log(arrival: CivilDay(number: day)), Array("(0-\(number)".utf8),
                Array("+".utf8), Array("COUNT".utf8), Array("\(count)".utf8),
            ])
    }

    // MARK: Writing

    private func apply(
        _ change: UsageChange, expected: [UInt8], _ followed: FollowedLogs
    ) async throws(MeteringError) -> Bool {
        var names = [keys.followed]
        writer.array(5)
        writer.array(change.seen.count)
        for (bucket, subjects) in change.seen {
            names.append(bucket.key(keys))
            writer.array(3)
            writer.integer(ttl(bucket))
            writer.strings(subjects)
            writer.strings(change.gone[bucket] ?? [])
        }
        writer.array(change.minutes.count)
        for (hour, cells) in change.minutes {
            names.append(keys.minutes(hour: hour))
            writer.array(2)
            writer.integer(Self.minuteTTL)
            writer.array(2 * cells.count)
            for (field, sums) in cells {
                writer.string(field.bytes)
                writer.array(1 + 2 * sums.amounts.count)
                writer.integer(sums.eventCount)
                for (meter, amount) in sums.amounts {
                    writer.meter(meter)
                    writer.integer(amount)
                }
            }
        }
        change.write(writer)
        names += [keys.activity, keys.guests, keys.changes]
        let packed = writer.take()
        let state = followed.packed(writer)
        do {
            let reply = try await client.run(
                ScriptLibrary.followUsage, keys: names, arguments: [expected, state, packed])
            return reply.integer == 1
        } catch {
            throw .unavailable(error)
        }
    }

    private func ttl(_ bucket: SeenBucket) -> Int {
        switch bucket {
        case .minute: Self.minuteTTL
        case .hour: (settings.hotDays + 2) * 86_400
        case .day: Self.dayTTL
        case .month: 0
        }
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }
}

/// A span of time whose subjects are counted.
enum SeenBucket: Hashable {
    /// Number since 1970.
    case minute(Int)
    /// Start, seconds since 1970.
    case hour(Int)
    case day(CivilDay)
    /// By its first day.
    case month(CivilDay)

    func key(_ keys: Keyspace) -> [UInt8] {
        switch self {
        case .minute(let number): keys.seen(minute: number)
        case .hour(let start): keys.seen(hour: start)
        case .day(let day): keys.seen(day: day)
        case .month(let day): keys.seen(month: day)
        }
    }
}

/// What some entries of the log add.
private struct UsageChange {
    struct Sums {
        var eventCount = 0
        var amounts: [Meter: Int] = [:]
    }

    private let oldestMinute: Int
    private let oldestHour: Int
    private(set) var entryCount = 0
    private(set) var eventCount = 0
    private(set) var seen: [SeenBucket: Set<ByteString>] = [:]
    /// Guests who were merged into a user: all that they did then, the user did.
    private(set) var gone: [SeenBucket: Set<ByteString>] = [:]
    private var merged: [(guest: ByteString, user: ByteString)] = []
    /// By hour (number since 1970).
    private(set) var minutes: [Int: [RollupField: Sums]] = [:]
    private var activity: [ByteString: ActivityTimes] = [:]
    private var guests: Set<ByteString> = []

    init(now: Timestamp, hotDays: Int) {
        let seconds = now.milliseconds.flooredQuotient(1000)
        oldestMinute = seconds.flooredQuotient(60) - UsageFollower.minuteCountMax
        oldestHour = seconds - (hotDays + 1) * 86_400
    }

    mutating func add(_ entry: LogEntry, _ calendar: CachedCalendar) {
        entryCount += 1
        eventCount += entry.events.count
        // Whose sums an entry moves comes first in it.
        var leaving: ByteString?
        for logged in entry.events where !entry.excluded.contains(logged.place) {
            let (day, hour) = calendar.place(logged.time)
            let minute = logged.time.milliseconds.flooredQuotient(60_000)
            let subject = entry.subjects[logged.subject]
            if logged.isMove {
                move(from: leaving ?? subject, subject, day)
                leaving = leaving ?? subject
                continue
            }
            if minute >= oldestMinute { add(logged, minute) }
            // What undoes an event is none of the subject's own.
            if logged.event.isReversal { continue }
            if SubjectID(stored: subject).isOrWasGuest { guests.insert(subject) }
            if logged.event.isTimed {
                activity[subject, default: ActivityTimes()].add(logged.event, at: logged.time)
            }
            if minute >= oldestMinute { seen[.minute(minute), default: []].insert(subject) }
            if hour >= oldestHour { seen[.hour(hour), default: []].insert(subject) }
            seen[.day(day), default: []].insert(subject)
            seen[.month(day.firstOfMonth), default: []].insert(subject)
        }
    }

    private mutating func move(
        from guest: ByteString, _ subject: ByteString, _ day: CivilDay
    ) {
        let buckets = [SeenBucket.day(day), .month(day.firstOfMonth)]
        if subject == guest {
            for bucket in buckets { gone[bucket, default: []].insert(subject) }
            if merged.last?.guest != subject { merged.append((subject, subject)) }
        } else {
            for bucket in buckets { seen[bucket, default: []].insert(subject) }
            if let last = merged.indices.last { merged[last].user = subject }
        }
    }

    /// Writes times, guests and merges, as the script reads them.
    func write(_ writer: MessagePackWriter) {
        writer.array(2 * activity.count)
        for (subject, times) in activity {
            writer.string(subject.bytes)
            writer.integers(times.milliseconds)
        }
        writer.array(guests.count)
        for guest in guests { writer.string(guest.bytes) }
        writer.array(2 * merged.count)
        for (guest, user) in merged {
            writer.string(guest.bytes)
            writer.string(user.bytes)
        }
    }

    private mutating func add(_ logged: LogEntry.Logged, _ minute: Int) {
        let field = RollupField(
            hour: minute * 60, action: logged.event.action, model: logged.event.model)
        let hour = minute.flooredQuotient(60)
        minutes[hour, default: [:]][field, default: Sums()].add(logged.event)
    }
}

extension UsageEvent {
    /// Whether it has a meter whose first or last time is told.
    fileprivate var isTimed: Bool {
        amounts.contains { meter, _ in
            meter == .filesUploaded || meter == .filesDownloaded || meter == .apiCalls
        }
    }
}

extension UsageChange.Sums {
    fileprivate mutating func add(_ event: UsageEvent) {
        eventCount += event.isReversal ? -1 : 1
        for (meter, amount) in event.amounts { amounts[meter, default: 0] += amount }
    }
}

extension MessagePackWriter {
    fileprivate func strings(_ names: Set<ByteString>) {
        array(names.count)
        for name in names { string(name.bytes) }
    }
}
