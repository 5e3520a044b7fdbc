// SPDX-License-Identifier: Apache-2.0

public import EventLoop
internal import Observability
public import Redis

/// Counts and reads the usage of a workspace, on one loop. It knows nothing of HTTP.
///
/// Nothing that must be right lives here: several engines, in one process or many, may serve one
/// Redis. Made and used on its loop's thread.
public final class MeteringEngine {
    /// Reads what was counted.
    public let reader: UsageReader
    /// Reads ledgers, holds and single events.
    public let accounts: AccountReader
    /// Of its workspace.
    public let settings: WorkspaceSettings
    private let loop: EventLoop
    private let client: RedisClient
    private let batcher: EventBatcher
    private let clock: any Clock
    private let rulesStore: RulesStore
    private let denials: DenialMemory
    private let epoch: DenialEpoch
    private let metrics: MeteringMetrics

    /// - Parameters:
    ///   - epoch: shared by the engines of a process.
    ///   - waitMS: for how long an event waits until its caller is told that it is not known to be
    ///     counted.
    ///   - heldMS: how long a batch may hold Redis; it has as many events as that allows, at most 512.
    ///   - thaw: brings a day back that has left Redis; without it, nothing is counted on such days.
    public init(
        on loop: EventLoop, client: RedisClient, settings: WorkspaceSettings,
        clock: any Clock, metrics: MeteringMetrics, epoch: DenialEpoch = DenialEpoch(),
        thaw: DayThawing? = nil, waitMS: Int = 1_000, heldMS: Int = 4
    ) {
        self.loop = loop
        self.metrics = metrics
        self.epoch = epoch
        denials = DenialMemory(epoch)
        self.client = client
        self.clock = clock
        self.settings = settings
        let keys = Keyspace(settings)
        rulesStore = RulesStore(
            client: client, keys: keys, zone: settings.calendar.zone)
        batcher = EventBatcher(
            on: loop, client: client, script: ScriptLibrary.recordEvents, rules: rulesStore,
            settings: settings, clock: clock, metrics: metrics, thaw: thaw,
            limits: EventBatcher.Limits(waitMS: waitMS, heldMS: heldMS))
        reader = UsageReader(client: client, settings: settings, clock: clock)
        accounts = AccountReader(client: client, settings: settings, clock: clock)
        // An engine whose workspace has changed makes room for another.
        client.whenReady(for: batcher) { $0.resume() }
    }

    /// Whether the caller is on its loop's thread, as it has to be.
    public var isOnItsLoop: Bool { loop.isCurrent }

    /// Lets others on its loop go on for a while.
    public func pause(for delay: Duration) async { await loop.sleep(for: delay) }

    /// Whether Redis can be asked now.
    public var isReady: Bool { client.isReady }

    /// Why Redis cannot be asked now; nil when it can.
    public var problem: String? {
        isReady ? nil : client.problem ?? "there is no connection to Redis"
    }

    /// Whether an event may be counted now by its time: nil, or why not.
    ///
    /// - Parameter isBackfill: lifts the bound on late events, as administrators may.
    public func rejection(of event: UsageEvent, isBackfill: Bool) -> EventRejection? {
        guard let time = event.time else { return nil }
        let age = clock.now.milliseconds - time.milliseconds
        if age < -5 * 60_000 {
            return EventRejection(
                status: 422, code: "timestamp_in_future", field: "time",
                detail: "the event is more than 5 minutes in the future")
        }
        if age > settings.lateMS, !isBackfill {
            return EventRejection(
                status: 422, code: "timestamp_too_old", field: "time",
                detail: "the event is more than \(settings.lateMS / 86_400_000) days old; "
                    + "administrators may send it with ?backfill=true")
        }
        return nil
    }

    /// Counts events; their outcomes come in order, on the loop, after Redis has acknowledged.
    public func record(_ events: [UsageEvent], completion: @escaping ([EventOutcome]) -> Void) {
        batcher.record(events, completion: completion)
    }

    /// Counts one event.
    public func record(_ event: UsageEvent, completion: @escaping (EventOutcome) -> Void) {
        batcher.record(event, completion: completion)
    }

    /// Counts one event for a purpose of its own.
    public func record(
        _ event: UsageEvent, for purpose: EventPurpose,
        completion: @escaping (EventOutcome) -> Void
    ) {
        batcher.record(event, for: purpose, completion: completion)
    }

    /// Takes a decision in the same call to Redis as the events of the moment; a check that was
    /// denied a moment ago is denied again without asking.
    ///
    /// Before it is rejected it is looked whether the rules have changed since they were read.
    public func decide(_ decision: Decision, completion: @escaping (DecisionOutcome) -> Void) {
        if decision.subject?.isErased ?? false, !decision.kind.onlyLooks {
            return completion(.rejected(.reservedID))
        }
        guard let rules = rulesStore.current,
            decision.limits.map({ rules.rejection(of: $0) == nil }) ?? true
        else { return decideByNewRules(decision, completion) }
        // What these rules reject asks Redis nothing, which would tell that they are not in force any more.
        let completion: (DecisionOutcome) -> Void = { [self] outcome in
            guard case .rejected = outcome else { return completion(outcome) }
            decideByNewRules(decision, completion, unlessBy: rules, outcome)
        }
        switch decision.kind {
        case .check, .consume:
            if let denial = denials.verdict(on: decision, rules, at: clock.now) {
                metrics.fastDenials.add()
                return completion(.decided(denial))
            }
            batcher.decide(decision) { [denials, asked = denials.now] outcome in
                if case .decided(let verdict) = outcome {
                    denials.remember(verdict, on: decision, asked: asked)
                }
                completion(outcome)
            }
        case .setOverride, .releaseHold:
            batcher.decide(decision) { [epoch] outcome in
                epoch.advance()
                completion(outcome)
            }
        case .openHold, .grant, .setAllowance, .look, .merge:
            batcher.decide(decision, completion: completion)
        }
    }

    /// - Parameters:
    ///   - judged: rules by which the decision was rejected; nil for none.
    ///   - outcome: what is told if they are in force still.
    private func decideByNewRules(
        _ decision: Decision, _ completion: @escaping (DecisionOutcome) -> Void,
        unlessBy judged: Rules? = nil, _ outcome: DecisionOutcome? = nil
    ) {
        rulesStore.load { [self] result in
            switch result {
            case .failure(let error): completion(.postponed(reason: "\(error)"))
            case .success(let rules):
                if let outcome, rules.version == judged?.version {
                    completion(outcome)
                } else if let rejection = decision.limits.flatMap({ rules.rejection(of: $0) }) {
                    completion(.rejected(rejection))
                } else {
                    decide(decision, completion: completion)
                }
            }
        }
    }

    /// Takes a decision.
    ///
    /// - Throws: `EventRejection`, or `MeteringError` when it is not known whether it was taken.
    public func decide(_ decision: Decision) async throws -> Verdict {
        let outcome = await withCheckedContinuation { continuation in
            decide(decision) { continuation.resume(returning: $0) }
        }
        switch outcome {
        case .decided(let verdict): return verdict
        case .rejected(let rejection): throw rejection
        case .unavailable(let reason): throw MeteringError.undecided(reason: reason)
        case .postponed(let reason, let fault):
            throw MeteringError.postponed(reason: reason, fault: fault)
        }
    }

    /// What a subject may still use, at present.
    public func account(of subject: SubjectID) async throws -> Account {
        let verdict = try await decide(Decision(.look, subject: subject))
        guard let account = Account(verdict) else {
            throw MeteringError.damaged(what: "an account")
        }
        return account
    }

    /// What a subject may use of a limit: its own amount, nil when it has none, and the one that is
    /// in force for it, nil when nothing limits it. In the meter's unit.
    ///
    /// - Returns: nil when there is no limit of this name.
    public func amounts(
        ofLimit name: String, for subject: SubjectID
    ) async throws -> (own: Int?, effective: Int?)? {
        let book = try await rules().limits
        guard let index = book.index(named: name.utf8) else { return nil }
        let limit = book.limits[index]
        let own = try await account(of: subject).ownAmounts[limit.id]
        return (own, own ?? limit.amount(for: subject.kind))
    }

    /// All limits as they are for a subject, each with the subject's own amount in the meter's unit;
    /// nil where it has that of its class.
    public func limits(
        of subject: SubjectID
    ) async throws -> [(state: LimitState, own: Int?)] {
        let own = try await account(of: subject).ownAmounts
        return try await decide(Decision(.check, subject: subject)).limits.map {
            ($0, own[$0.limit.id])
        }
    }

    /// Undoes an event, once: all that it counted, took and ranked, on its own day. The reversal is
    /// an event of its own, with the amounts below zero. First and last time of the subject stay.
    ///
    /// While its subject is being erased it is not known whose it is, until the log tells.
    ///
    /// - Returns: nil when no such event is known, or not any more, or its subject was erased.
    public func reverse(_ id: ByteString, reason: ByteString) async throws -> EventOutcome? {
        // Before the event: what the log tells of it holds until there are more.
        let erasures = try await ErasureStore(client, Keyspace(settings)).pastLogCount()
        guard var logged = try await accounts.event(id), !logged.event.subject.isErased else {
            return nil
        }
        logged.erasures = erasures
        guard !logged.event.isReversal else {
            throw EventRejection(
                status: 409, code: "is_reversal", field: "id",
                detail: "a reversal cannot be reversed; record the event again")
        }
        var reversal = logged.event
        // By its place, since an id that was forgotten may name another event.
        reversal.id = logged.origin.reversalID(place: logged.place)
        reversal.description = reason
        reversal.amounts = logged.event.amounts.map { ($0.0, -$0.1) }
        return await withCheckedContinuation { continuation in
            record(reversal, for: .reverse(logged)) { [epoch] in
                epoch.advance()
                continuation.resume(returning: $0)
            }
        }
    }

    /// Makes all that a guest has, and has used, a user's, in one step and once; or moves a part of its
    /// days, which is one step, too.
    ///
    /// - Returns: `allowed`; `repeated` when it was done before, `conflict` when the guest is another
    ///   user's by now, `changed` when the guest was counted since it was looked at.
    public func merge(_ merge: GuestMerge, into user: SubjectID) async throws -> Verdict {
        let merge = merge.moved(to: user)
        let outcome = await withCheckedContinuation { continuation in
            batcher.decide(Decision(.merge(merge), subject: user), with: merge.moves) { [epoch] in
                epoch.advance()
                continuation.resume(returning: $0)
            }
        }
        switch outcome {
        case .decided(let verdict): return verdict
        case .rejected(let rejection): throw rejection
        case .unavailable(let reason): throw MeteringError.undecided(reason: reason)
        case .postponed(let reason, let fault):
            throw MeteringError.postponed(reason: reason, fault: fault)
        }
    }

    /// Settles a hold with an event.
    ///
    /// - Parameter heldCredits: what the hold has set aside; needed for `cap` only.
    public func settle(
        _ hold: ByteString, with event: UsageEvent, _ policy: SettlePolicy, heldCredits: Int?
    ) async -> EventOutcome {
        await withCheckedContinuation { continuation in
            record(event, for: .settle(hold: hold, policy, heldCredits: heldCredits)) {
                [epoch] in
                epoch.advance()
                continuation.resume(returning: $0)
            }
        }
    }

    /// The moment by the clock that decisions are taken by.
    public var now: Timestamp { clock.now }

    /// Forgets who was denied: what was used has changed otherwise than by decisions.
    public func forgetDenials() { epoch.advance() }

    // MARK: Rules

    /// The rules in force.
    public func rules() async throws(MeteringError) -> Rules { try await rulesStore.load() }

    /// Puts a price book in force.
    ///
    /// - Parameter tag: the entity tag that the one in force has to have; nil for any.
    /// - Throws: `EventRejection`, 412 `precondition_failed`; `MeteringError`.
    public func setPrices(_ prices: PriceBook, ifTag tag: String? = nil) async throws -> Rules {
        try await rulesStore.put(.prices, ifTag: tag) { _, writer in prices.write(&writer) }
    }

    /// Puts limits in force, as `setPrices` does.
    public func setLimits(
        _ draft: LimitBook.Draft, ifTag tag: String? = nil
    ) async throws -> Rules {
        defer { epoch.advance() }
        // These are put only as the next version, if at all.
        return try await rulesStore.put(.limits, ifTag: tag) { rules, writer in
            LimitBook(draft, replacing: rules.limits, from: rules.number + 1)
                .write(&writer, isStored: true)
        }
    }

    /// Puts a credit policy in force, as `setPrices` does.
    public func setCreditPolicy(
        _ policy: CreditPolicy, ifTag tag: String? = nil
    ) async throws -> Rules {
        try await rulesStore.put(.credits, ifTag: tag) { _, writer in policy.write(&writer) }
    }

    /// Puts in force when months of credits begin; the rest of the policy stays.
    public func setMonthReset(_ reset: CreditPolicy.MonthReset) async throws {
        _ = try await rulesStore.put(.credits) { rules, writer in
            var policy = rules.credits
            policy.monthReset = reset
            policy.write(&writer)
        }
    }
}
