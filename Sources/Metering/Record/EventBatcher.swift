// SPDX-License-Identifier: Apache-2.0
//
// Group commit. While one batch is on its way to Redis, arriving events queue; when its reply
// comes, all that waits goes out as one script call. A lone event goes at the end of the turn in
// which it came. Each event gets an outcome of its own.
//
// A timeout or a cut connection is an unknown outcome: the batch is sent again under the same
// number, and the script's marker makes the second sending harmless. Only when an event has waited
// past its deadline is its caller told that it is not known to be counted.

internal import Cryptography
internal import EventLoop
internal import Observability
internal import Redis

/// Counts the events of one workspace that come in on one loop.
final class EventBatcher {
    static let erasing = "the subject is being erased; ask again in a moment"
    /// For how long batches come ready to move subjects after one had to.
    private static let movingMS = 60_000
    static let sweepMS = 100

    let client: RedisClient
    private let script: RedisScript
    let keys: Keyspace
    private let settings: WorkspaceSettings
    let clock: any Clock
    private let loop: EventLoop
    let metrics: MeteringMetrics
    let limits: Limits
    /// Distinguishes this batcher from every other one, in this process and elsewhere.
    private let sender: String
    private let digest = IDDigest()
    private let writer = MessagePackWriter()
    let calendar: CachedCalendar
    private let rules: RulesStore
    private let windows: LimitWindows
    private let resets: MonthResets

    var waiting: PendingQueue
    var inFlight: EventBatch?
    /// Events of large requests, made ready while another batch is on its way, so that Redis does not
    /// wait for it.
    var next: EventBatch? { didSet { isOvertaken = false } }
    /// Whether what came later went before it.
    private var isOvertaken = false
    private var sequence = 0
    /// Days that subjects had to leave lately, and until when batches come with what that needs.
    private var rolls: Set<CivilDay> = []
    private var canMoveUntilMS = 0
    var isFlushDue = false
    private var isLoadingRules = false
    var later = LaterGenerations()
    var isLookingAhead = false
    /// Of this turn's events; nil before the first of them.
    var arrival: Arrival?
    /// The batch in flight was not answered for, and goes again when there is a connection.
    var isResendDue = false
    /// When Redis answered last. A long queue that moves is no reason to give events up.
    var lastReplyMS = 0
    /// What Redis said last, when it would not count a batch that goes again.
    var refusal: RedisError?
    private var sweep: LoopTimer?
    /// Events that wait for their days.
    private let cold: ColdEvents
    var lastSweepMS = 0
    var isHeldUp = false

    init(
        on loop: EventLoop, client: RedisClient, script: RedisScript, rules: RulesStore,
        settings: WorkspaceSettings, clock: any Clock, metrics: MeteringMetrics,
        thaw: DayThawing? = nil, limits: Limits = Limits()
    ) {
        cold = ColdEvents(on: loop, clock: clock, thaw: thaw)
        self.loop = loop
        self.client = client
        self.script = script
        self.rules = rules
        windows = LimitWindows(settings.calendar)
        resets = MonthResets(settings.calendar)
        self.settings = settings
        self.clock = clock
        self.metrics = metrics
        self.limits = limits
        waiting = PendingQueue(bound: BatchBound(heldMS: limits.heldMS))
        keys = Keyspace(settings)
        calendar = CachedCalendar(settings.calendar)
        sender = String(UInt64.random(in: .min ... .max), radix: 36)
        sweep = LoopTimer(on: loop, isRepeating: true) { [weak self] in self?.expire() }
        sweep?.start(after: .milliseconds(Self.sweepMS))
        cold.whenBack = { [unowned self] items in
            for item in items { waiting.append(item) }
            scheduleFlush()
        }
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

    /// Counts one event for a purpose of its own.
    func record(
        _ event: UsageEvent, for purpose: EventPurpose,
        completion: @escaping (EventOutcome) -> Void
    ) {
        enqueue(CollectionOfOne(event), Submission(single: completion), purpose)
    }

    /// Takes a decision; the outcome comes on the loop. Never blocks, never throws.
    func decide(_ decision: Decision, completion: @escaping (DecisionOutcome) -> Void) {
        assert(loop.isCurrent, "a decision is taken off the thread of its loop")
        guard waiting.count + cold.count < limits.waitingMax else {
            return completion(.postponed(reason: "too many requests are waiting"))
        }
        waiting.append(
            .decision(
                PendingDecision(
                    decision: decision, deadlineMS: clock.monotonicMS + limits.waitMS,
                    resolve: completion)))
        scheduleFlush()
    }

    /// Takes a decision together with events that count only if it is taken, in a batch of their own.
    func decide(
        _ decision: Decision, with moves: [GuestMerge.Move],
        completion: @escaping (DecisionOutcome) -> Void
    ) {
        let deadline = clock.monotonicMS + limits.waitMS
        let pending = PendingDecision(
            decision: decision, deadlineMS: deadline, resolve: completion)
        waiting.appendGroup(
            [.decision(pending)] + moves.map { .event($0.pending(calendar, deadline)) })
        scheduleFlush()
    }

    private func enqueue(
        _ events: some Collection<UsageEvent>, _ submission: Submission,
        _ purpose: EventPurpose? = nil
    ) {
        assert(loop.isCurrent, "an event is counted off the thread of its loop")
        guard waiting.count + cold.count + events.count <= limits.waitingMax else {
            for index in 0..<events.count {
                submission.resolve(index, .postponed(reason: "too many events are waiting"))
            }
            return
        }
        let (arrival, isLarge) = (currentArrival(), events.count > PendingQueue.smallMax)
        for (index, event) in events.enumerated() {
            let time = event.time ?? arrival.time
            let (day, hour) = event.time == nil ? arrival.place : calendar.place(time)
            let pending = PendingEvent(
                event: event, purpose: purpose ?? (event.enforce ? .enforce : .record),
                time: time, arrived: arrival.time, day: day, hour: hour,
                deadlineMS: arrival.deadlineMS, submission: submission, index: index)
            if isLarge {
                waiting.appendBulk(.event(pending))
            } else {
                waiting.append(.event(pending))
            }
        }
        scheduleFlush()
    }

    /// Sends what waits, at the end of the turn: all that this turn brings goes together.
    func scheduleFlush() {
        guard !isFlushDue else { return }
        isFlushDue = true
        loop.deferToTurnEnd { [self] in
            isFlushDue = false
            arrival = nil
            flush()
            prepare()
        }
    }

    /// To be called when the client is ready again.
    func resume() {
        if isResendDue, let batch = inFlight { send(batch) }
        flush()
    }

    private func flush() {
        guard client.isReady, inFlight == nil, next != nil || !waiting.isEmpty else { return }
        guard let rules = rules.current else { return loadRules() }
        guard later.isComplete else { return lookAhead() }
        while let batch = takeBatch(rules) {
            // Nothing is left of a batch whose events cannot be priced.
            guard !batch.items.isEmpty else { continue }
            sequence += 1
            inFlight = batch
            metrics.batchSize.observe(batch.items.count)
            return send(batch)
        }
    }

    private func takeBatch(_ rules: Rules) -> EventBatch? {
        if next != nil, !isOvertaken, let urgent = waiting.takeUrgent(followers) {
            isOvertaken = true
            return EventBatch(urgent, rules)
        }
        defer { next = nil }
        if let next { return next.rules === rules ? next : EventBatch(next.items, rules) }
        return waiting.takeBatch(followers).map { EventBatch($0, rules) }
    }

    /// Makes the next batch out of the events of large requests, if they fill one.
    private func prepare() {
        guard inFlight != nil, next == nil, let rules = rules.current,
            let bulk = waiting.takeBulk(followers)
        else { return }
        next = EventBatch(bulk, rules)
        next?.pack(digest, writer)
    }

    /// Reads the rules, and goes on: builds the batch in flight again if there is one.
    private func loadRules() {
        guard !isLoadingRules else { return }
        isLoadingRules = true
        rules.load { [self] result in
            isLoadingRules = false
            switch result {
            case .failure(.unavailable), .failure(.building), .failure(.tooMany),
                .failure(.incomplete), .failure(.postponed):
                // The sweep tries again; what waits too long is told so.
                isResendDue = inFlight != nil
            case .failure(.undecided(let reason)):
                giveUp(reason)
            case .failure(.damaged(let what)):
                giveUp("Redis holds something else: \(what)")
            case .success(let rules):
                guard let batch = inFlight else { return flush() }
                let rebuilt = EventBatch(batch.items, rules)
                rebuilt.mayBeCounted = batch.mayBeCounted
                inFlight = rebuilt.items.isEmpty ? nil : rebuilt
                if inFlight == nil { flush() } else { send(rebuilt) }
            }
        }
    }

    /// There are no rules to count by.
    private func giveUp(_ reason: String) {
        if let batch = inFlight ?? next {
            if inFlight == nil { next = nil }
            inFlight = nil
            batch.end(reason)
        } else {
            for item in waiting.takeBatch(followers) ?? [] { item.postpone(reason) }
        }
        if next != nil || !waiting.isEmpty { scheduleFlush() }
    }

    func send(_ batch: EventBatch) {
        isResendDue = false
        let now = clock.now
        let arrival = CivilDay(number: now.milliseconds.flooredQuotient(86_400_000))
        let today = calendar.place(now).day
        let decisions = batch.decisions ?? DecisionList(batch, at: now, windows)
        batch.decisions = decisions
        later.see(now)
        var generations = batch.hasNamedEvents ? settings.idGenerations(at: now) : []
        generations += later.others(than: generations)
        let canMove = clock.monotonicMS < canMoveUntilMS
        let days = batch.sums.days.map(\.day)
        let leaving = canMove ? rolls.subtracting(days).sorted() : []
        let context = EventBatch.Context(
            sequence: sequence, arrival: arrival, today: today, ranked: settings.rankedMeters,
            lifetimes: settings.lifetimes, rolls: leaving, idGenerationCount: generations.count,
            canMove: canMove, counts: settings.counts)
        let names = context.keys(
            keys, sender: sender, days: days, generations: generations,
            decides: !decisions.isEmpty, hasAlerts: decisions.hasAlerts, undoes: decisions.undoes)
        let arguments = batch.arguments(
            context, decisions, decisions.isEmpty ? [] : resets.packed(on: today), digest, writer)
        client.run(script, keys: names, arguments: arguments) { [self] result in
            receive(result, for: batch)
        }
    }

    private func receive(_ result: Result<RedisValue, RedisError>, for batch: EventBatch) {
        guard inFlight === batch else { return }
        switch result {
        case .success(let value):
            lastReplyMS = clock.monotonicMS
            refusal = nil
            guard let reply = RecordReply(value) else {
                return lose(batch, "Redis gave an answer of another shape")
            }
            handle(reply, for: batch)
        case .failure(let error) where error.isWorthResending:
            // Not known to be counted. It goes again, as it is, when the client is ready.
            metrics.resent.add()
            if error.mayHaveBeenExecuted { batch.mayBeCounted = true }
            if case .timedOut = error { waiting.bound.learnOfSilence() }
            refusal = if case .server = error { error } else { nil }
            // When the client is ready again; if it still is, at the next turn of the sweep.
            isResendDue = true
        case .failure(let error):
            fail(batch, "\(error)", StorageFault(error))
        }
    }

    private func handle(_ reply: RecordReply, for batch: EventBatch) {
        switch reply {
        case .done(let done):
            inFlight = nil
            flush()
            finish(batch, done)
            prepare()
        case .otherRules:
            loadRules()
        case .merged(let users):
            let rebuilt = EventBatch(batch.items.map { $0.redirected(to: users) }, batch.rules)
            rebuilt.mayBeCounted = batch.mayBeCounted
            inFlight = rebuilt
            send(rebuilt)
        case .erasing(let subject):
            // As with days that have left: sent once more under another number, it could count twice.
            guard !batch.mayBeCounted else { return fail(batch, Self.erasing) }
            inFlight = nil
            for item in batch.items where item.subject?.id == subject {
                item.postpone(Self.erasing)
            }
            waiting.appendGroup(batch.items.filter { $0.subject?.id != subject })
            flush()
        case .mustMove(let days):
            rolls.formUnion(days)
            // The script asks once per idle subject; forgetting keeps the list of keys short.
            if rolls.count > 64 { rolls = Set(days) }
            // Where one subject moves, as after midnight, others follow.
            canMoveUntilMS = clock.monotonicMS + Self.movingMS
            send(batch)
        case .cold(let days):
            guard !batch.mayBeCounted, !batch.isMerge else {
                // Sent once more later under another number, it could count twice.
                cold.bringBack(days)
                return fail(batch, ColdEvents.reason)
            }
            inFlight = nil
            waiting.appendGroup(cold.hold(batch.items, for: days))
            flush()
        case .overflow(let subjects, let rollup):
            inFlight = nil
            isolate(batch, Set(subjects), rollup)
            flush()
        case .stale:
            lose(batch, "the batch was given up")
        }
    }

    private func finish(_ batch: EventBatch, _ done: RecordReply.Done) {
        guard let outcomes = BatchOutcomes(batch, done) else {
            return lose(batch, "Redis gave an answer of another shape")
        }
        if !batch.isMerge { metrics.counted.add(outcomes.countedCount) }
        if let heldUS = done.heldUS, heldUS > 0 {
            waiting.bound.learn(count: batch.items.count, microseconds: heldUS)
            metrics.batchHeld.observe(heldUS)
        }
        metrics.duplicates.add(outcomes.repeatedCount)
        metrics.skipped.add(outcomes.skippedCount)
        outcomes.resolve { repeated, origin in resolve(repeated, from: origin) }
    }

    func fail(_ batch: EventBatch, _ reason: String, _ fault: StorageFault? = nil) {
        if inFlight === batch { inFlight = nil }
        batch.end(reason, fault)
        scheduleFlush()
    }

    /// Nothing tells what became of it.
    func lose(_ batch: EventBatch, _ reason: String) {
        batch.mayBeCounted = true
        fail(batch, reason)
    }
}
