// SPDX-License-Identifier: Apache-2.0
//
// Group commit. While one batch is on its way to Redis, arriving events queue; when its reply
// comes, all that waits goes out as one script call. A lone event goes at the end of the turn in
// which it came. Each event gets an outcome of its own.
//
// A timeout or a cut connection is an unknown outcome: the batch is sent again under the same
// number, and the script's marker makes the second sending harmless. Only when an event has waited
// past its deadline is its caller told that it is not known to be counted.

internal import EventLoop
internal import Observability
internal import Redis

/// Counts the events of one workspace that come in on one loop.
final class EventBatcher {
    /// How long and how many events wait. Times are of the monotonic clock.
    struct Limits {
        /// From an event's arrival until its caller is told that the outcome is not known.
        var waitMS = 1_000
        var waitingMax = 50_000
    }

    private let client: RedisClient
    private let script: RedisScript
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let loop: EventLoop
    private let metrics: MeteringMetrics
    private let limits: Limits
    /// Distinguishes this batcher from every other one, in this process and elsewhere.
    private let sender: String
    private let digest = IDDigest()
    private let writer = MessagePackWriter()
    private let calendar: CachedCalendar

    private var waiting = EventQueue()
    /// Batches of one event each that go before all else: those whose totals may overflow.
    private var singles = EventQueue()
    private var inFlight: EventBatch?
    private var sequence = 0
    private var rolls: Set<CivilDay> = []
    private var isFlushDue = false
    /// The batch in flight has an unknown outcome and waits for a connection.
    private var isResendDue = false
    /// When Redis answered last. A long queue that moves is no reason to give events up.
    private var lastReplyMS = 0
    private var sweep: LoopTimer?

    init(
        on loop: EventLoop, client: RedisClient, script: RedisScript, settings: WorkspaceSettings,
        clock: any Clock, metrics: MeteringMetrics, limits: Limits = Limits()
    ) {
        self.loop = loop
        self.client = client
        self.script = script
        self.settings = settings
        self.clock = clock
        self.metrics = metrics
        self.limits = limits
        keys = Keyspace(workspace: settings.id)
        calendar = CachedCalendar(settings.calendar)
        sender = String(UInt64.random(in: .min ... .max), radix: 36)
        sweep = LoopTimer(on: loop, isRepeating: true) { [unowned self] in expire() }
        sweep?.start(after: .milliseconds(100))
    }

    /// Counts events; the outcomes come in their order, on the loop. Never blocks, never throws.
    func record(_ events: [UsageEvent], completion: @escaping ([EventOutcome]) -> Void) {
        guard !events.isEmpty else { return completion([]) }
        let submission = Submission(count: events.count, completion: completion)
        enqueue(events, submission)
    }

    /// Counts one event.
    func record(_ event: UsageEvent, completion: @escaping (EventOutcome) -> Void) {
        enqueue(CollectionOfOne(event), Submission(single: completion))
    }

    private func enqueue(_ events: some Collection<UsageEvent>, _ submission: Submission) {
        guard waiting.count + events.count <= limits.waitingMax else {
            for index in 0..<events.count {
                submission.resolve(index, .unavailable(reason: "too many events are waiting"))
            }
            return
        }
        let now = clock.now
        let deadline = clock.monotonicMS + limits.waitMS
        for (index, event) in events.enumerated() {
            let time = event.time ?? now
            let (day, hour) = calendar.place(time)
            waiting.append(
                PendingEvent(
                    event: event, time: time, day: day, hour: hour, deadlineMS: deadline,
                    submission: submission, index: index))
        }
        scheduleFlush()
    }

    /// Sends what waits, at the end of the turn: all that this turn brings goes together.
    private func scheduleFlush() {
        guard !isFlushDue else { return }
        isFlushDue = true
        loop.deferToTurnEnd { [self] in
            isFlushDue = false
            flush()
        }
    }

    /// To be called when the client is ready again.
    func resume() {
        if isResendDue, let batch = inFlight { send(batch) }
        flush()
    }

    private func flush() {
        guard client.isReady else { return }
        guard inFlight == nil, let batch = nextBatch() else { return }
        sequence += 1
        inFlight = batch
        metrics.batchSize.observe(batch.events.count)
        send(batch)
    }

    private func nextBatch() -> EventBatch? {
        if let single = singles.takeFirst() { return EventBatch([single]) }
        return waiting.isEmpty ? nil : EventBatch(waiting.takeBatch())
    }

    private func send(_ batch: EventBatch) {
        isResendDue = false
        let now = clock.now
        let arrival = CivilDay(number: now.milliseconds.flooredQuotient(86_400_000))
        let today = calendar.place(now).day
        let generations = idGenerations(now)
        let days = Set(batch.days.map(\.day))
        // Mostly a subject was seen last on one of these; another day is asked for when needed.
        let usual = (1...2).map { CivilDay(number: today.number - $0) }
        let leaving = rolls.union(usual).subtracting(days).sorted()
        var names = [keys.subjects, keys.marker(sender: sender), keys.log(arrival: arrival)]
        names += settings.rankedMeters.map { keys.closedBoard($0) }
        names += generations.map { keys.ids(generation: $0) }
        for sum in batch.days {
            names += [keys.use(sum.day), keys.hours(sum.day), keys.day(sum.day)]
            names += settings.rankedMeters.map { keys.board(sum.day, $0) }
        }
        names += leaving.map { keys.use($0) }
        let context = EventBatch.Context(
            sequence: sequence, arrival: arrival, today: today, ranked: settings.rankedMeters,
            lifetimes: lifetimes, rolls: leaving, idGenerationCount: generations.count)
        client.run(
            script, keys: names, arguments: batch.arguments(context, digest, writer)
        ) { [self] result in receive(result, for: batch) }
    }

    /// Ids are remembered by spans of a day, so that forgetting is dropping a key and the window may
    /// be changed at any time; an id within the window is in this span or in one of those that the
    /// window reaches back to. Near the end of a span the next is searched too, since other
    /// processes' clocks may be ahead.
    private func idGenerations(_ now: Timestamp) -> [Int] {
        let span = 86_400_000
        let current = now.milliseconds.flooredQuotient(span)
        let first = (now.milliseconds - settings.idempotencyWindowMS).flooredQuotient(span)
        let isNearEnd = (current + 1) * span - now.milliseconds < 600_000
        return (first...current).reversed() + (isNearEnd ? [current + 1] : [])
    }

    private var lifetimes: EventBatch.Lifetimes {
        let window = settings.idempotencyWindowMS / 1000
        return EventBatch.Lifetimes(
            log: max(Retention.logDays * 86_400, window + 3 * 86_400), ids: window + 2 * 86_400,
            days: Retention.daySeconds)
    }

    private func receive(_ result: Result<RedisValue, RedisError>, for batch: EventBatch) {
        guard inFlight === batch else { return }
        switch result {
        case .success(let value):
            lastReplyMS = clock.monotonicMS
            guard let reply = RecordReply(value) else {
                return fail(batch, "Redis gave an answer of another shape")
            }
            handle(reply, for: batch)
        case .failure(let error) where error.isWorthResending:
            // Not known to be counted. It goes again, as it is, when the client is ready.
            metrics.resent.add()
            // When the client is ready again; if it still is, at the next turn of the sweep.
            isResendDue = true
        case .failure(let error):
            fail(batch, "\(error)")
        }
    }

    private func handle(_ reply: RecordReply, for batch: EventBatch) {
        switch reply {
        case .counted(let position, let results, let excluded):
            inFlight = nil
            flush()
            finish(batch, at: position, results, excluded)
        case .mustLeave(let days):
            rolls.formUnion(days)
            // The script asks once per idle subject; forgetting keeps the list of keys short.
            if rolls.count > 64 { rolls = Set(days) }
            send(batch)
        case .overflow(let subjects, let rollup):
            inFlight = nil
            isolate(batch, Set(subjects), rollup)
            flush()
        case .stale:
            fail(batch, "the batch was given up")
        }
    }

    /// Events that may overflow a total go on their own, so that one that does spoils no other.
    private func isolate(_ batch: EventBatch, _ subjects: Set<Int>, _ rollup: Bool) {
        guard batch.events.count > 1 else {
            metrics.rejected.add()
            batch.events[0].resolve(.rejected(.counterOverflow))
            return
        }
        var others: [PendingEvent] = []
        for (index, event) in batch.events.enumerated() {
            if rollup || subjects.contains(batch.subjectOfEvent[index]) {
                singles.append(event)
            } else {
                others.append(event)
            }
        }
        waiting.prepend(others)
    }

    private func finish(
        _ batch: EventBatch, at position: LogPosition, _ results: [Int],
        _ excluded: [Int: (LogPosition, place: Int)]
    ) {
        guard let split = LogEntry.split(results, batch.subjects.map(\.meters)) else {
            return fail(batch, "Redis gave an answer of another shape")
        }
        var totals = split.map(\.totals)
        metrics.counted.add(batch.events.count - excluded.count)
        metrics.duplicates.add(excluded.count)
        var repeated: [LogPosition: [(event: PendingEvent, place: Int)]] = [:]
        // Backwards: the totals after an event are those after the batch less what came later.
        for index in batch.events.indices.reversed() {
            let pending = batch.events[index]
            if let (origin, place) = excluded[index + 1] {
                repeated[origin, default: []].append((pending, place))
                continue
            }
            let subject = batch.subjectOfEvent[index]
            var counted = CountedEvent(
                id: pending.event.id ?? position.eventID(place: index + 1), totals: [])
            counted.totals.reserveCapacity(pending.event.amounts.count)
            for (meter, amount) in pending.event.amounts {
                guard let place = batch.subjects[subject].meters.firstIndex(of: meter) else {
                    continue
                }
                counted.totals.append((meter, totals[subject][place]))
                totals[subject][place] -= amount
            }
            pending.resolve(.counted(counted))
        }
        for (origin, events) in repeated { resolve(events, from: origin) }
    }

    /// Finds what was answered when the ids were first counted, in one entry of the log.
    private func resolve(_ repeated: [(event: PendingEvent, place: Int)], from origin: LogPosition)
    {
        client.send(.readLogEntry(keys.log(arrival: origin.day), origin)) { result in
            guard case .success(let value) = result else {
                for (event, _) in repeated {
                    event.resolve(.unavailable(reason: "the first answer could not be read"))
                }
                return
            }
            let entry = value.elements?.first.flatMap { LogEntry($0, arrival: origin.day) }
            for (event, place) in repeated {
                event.resolve(Self.outcome(of: event, at: place, of: entry, origin))
            }
        }
    }

    private static func outcome(
        of event: PendingEvent, at place: Int, of entry: LogEntry?, _ origin: LogPosition
    ) -> EventOutcome {
        guard let entry, let counted = entry.counted(place: place) else {
            // The log has forgotten it, the id has not: it counts nothing, but its totals are gone.
            let id = event.event.id ?? origin.eventID(place: place)
            return .duplicate(CountedEvent(id: id, totals: []))
        }
        return entry.events[place - 1].event.isSamePayload(as: event.event)
            ? .duplicate(counted) : .rejected(.idReused)
    }

    private func isExpired(_ batch: EventBatch) -> Bool {
        let now = clock.monotonicMS
        return batch.events.allSatisfy { $0.deadlineMS <= now }
    }

    private func fail(_ batch: EventBatch, _ reason: String) {
        if inFlight === batch { inFlight = nil }
        for event in batch.events { event.resolve(.unavailable(reason: reason)) }
        scheduleFlush()
    }

    /// Tells the callers whose events have waited too long.
    private func expire() {
        let now = clock.monotonicMS
        if isResendDue, client.isReady, let batch = inFlight { send(batch) }
        guard now - lastReplyMS > limits.waitMS else { return }
        if let batch = inFlight, isExpired(batch) {
            // A later answer to it is ignored; the next batch's number makes a late sending stale.
            fail(batch, "Redis does not answer")
        }
        for event in singles.takeExpired(now) + waiting.takeExpired(now) {
            event.resolve(.unavailable(reason: "Redis does not answer"))
        }
    }
}
