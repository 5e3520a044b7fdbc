// SPDX-License-Identifier: Apache-2.0
//
// Notices are written with what they tell of, in one step. From there on each is claimed for a while,
// sent, and taken away when it arrived; a process that dies leaves its claims to end by themselves. So
// each arrives at least once, under one id.

internal import Cryptography
internal import Foundation
internal import Observability
internal import Redis

/// When a delivery is tried again.
struct AlertSchedule: Sendable {
    var firstMS = 5_000
    var longestMS = 6 * 3_600_000
    /// 9 to 17 hours.
    var attemptsMax = 15
    /// How long a claim holds: longer than any attempt takes.
    var claimMS = 20_000
    /// The same of e-mail: a server may take its time before it says that it has a message.
    var mailClaimMS = 150_000
    /// How long what never left waits, and what goes to somebody who is slow.
    var restMS = 2_000

    /// How long to wait after so many attempts: twice as long each time, of which a random part up to
    /// a half is left out, so that not all come back at once.
    func delayMS(after attempts: Int, random: Double = .random(in: 0...1)) -> Int {
        let doublings = min(max(0, attempts - 1), 30)
        let (full, overflows) = firstMS.multipliedReportingOverflow(by: 1 << doublings)
        let length = overflows ? longestMS : min(full, longestMS)
        return length - Int(Double(length / 2) * random)
    }
}

/// How deliveries go.
struct AlertMetrics {
    let delivered: Counter
    let failed: Counter
    let dead: Counter
    let pendingNotices: Gauge
    let deadNotices: Gauge

    init(_ registry: MetricsRegistry) {
        let name = "tally_alert_deliveries_total"
        let help = "Attempts to deliver notices of alerts, by how they ended."
        delivered = registry.counter(name, help: help, labels: ["result": "delivered"])
        failed = registry.counter(name, help: help, labels: ["result": "failed"])
        dead = registry.counter(name, help: help, labels: ["result": "dead"])
        let gauge = "tally_alert_notices"
        let lengths = "Notices of alerts that are pending, or could not be delivered."
        pendingNotices = registry.gauge(gauge, help: lengths, labels: ["state": "pending"])
        deadNotices = registry.gauge(gauge, help: lengths, labels: ["state": "dead"])
    }
}

/// Looks after a workspace's alerts: tells budgets, and delivers notices. On its loop's thread only.
final class AlertDispatch {
    /// At the same time, of one workspace; and to one place, so that a receiver that hangs leaves room.
    static let inFlightMax = 64
    static let toPlaceMax = 8
    /// A place is slow where a notice is on its way for longer.
    private static let slowMS = 1_000
    /// The most that is kept of what an attempt failed for.
    private static let faultBytesMax = 300

    let outbox: AlertOutbox
    var schedule = AlertSchedule()
    private(set) var rules: Rules?
    private let store: RulesStore
    private let budgets: BudgetWatch
    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let data: String
    private let metrics: AlertMetrics
    /// Of which alerts notices are on their way, and since when.
    private var inFlight: [Int: (alert: Int, sinceMS: Int)] = [:]
    private var lastClaim = 0
    private var isClaiming = false
    /// Whether more was due when it was claimed last.
    private(set) var rest = AlertOutbox.Rest.none
    private var counts = (pending: 0, dead: 0)

    init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock, data: String,
        metrics: MetricsRegistry
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.data = data
        self.metrics = AlertMetrics(metrics)
        keys = Keyspace(settings)
        outbox = AlertOutbox(client: client, keys: keys)
        store = RulesStore(client: client, keys: keys)
        budgets = BudgetWatch(client: client, settings: settings)
    }

    /// Takes the rules that are in force, when they are others than before.
    func refresh() async throws(MeteringError) -> Rules {
        let version: RedisValue
        do {
            version = try await client.send(
                RedisCommand("HGET", [keys.rules, Rules.versionField]))
        } catch {
            throw .unavailable(error)
        }
        if let rules, rules.version == version.bytes ?? [] { return rules }
        let rules = try await store.load()
        self.rules = rules
        return rules
    }

    func tellBudgets(_ cost: (Range<Int>) async throws -> Int) async throws -> Int {
        guard let rules else { return 0 }
        return try await budgets.tell(rules, now: clock.now, cost: cost)
    }

    /// A notice that was claimed, and rules that are no older than that: what they say of its alert stands.
    struct Claim {
        let notice: AlertNotice
        fileprivate let rules: Rules
        fileprivate let number: Int
    }

    /// Takes as many notices as may be on their way now.
    ///
    /// - Parameter offset: how many were left where they were before; they are passed over, and those that are
    ///   left now are added.
    func claim(after offset: inout Int) async throws(MeteringError) -> [Claim] {
        let room = Self.inFlightMax - inFlight.count
        guard room > 0, !isClaiming, let known = rules else { return [] }
        isClaiming = true
        defer { isClaiming = false }
        let now = clock.now.milliseconds
        // One whose alert is not known yet may be e-mail.
        let (notices, rest, stayed) = try await outbox.claim(
            now: now, endMS: now + schedule.mailClaimMS, count: room, after: offset,
            places(known, now))
        offset += stayed
        self.rest = rest == .none && offset > 0 ? .withoutRoom : rest
        if notices.isEmpty { return [] }
        let rules = try await refresh()
        return notices.map { notice in
            lastClaim += 1
            inFlight[lastClaim] = (notice.alert, now)
            return Claim(notice: notice, rules: rules, number: lastClaim)
        }
    }

    /// How many more notices may go where alerts lead.
    private func places(_ rules: Rules, _ now: Int) -> AlertOutbox.Places {
        var numbers: [String: Int] = [:]
        var ofAlert: [Int: Int] = [:]
        var places = AlertOutbox.Places()
        for alert in rules.alerts.alerts {
            let number = numbers[alert.target.place] ?? numbers.count + 1
            if numbers.updateValue(number, forKey: alert.target.place) == nil {
                let length = alert.target.isMail ? schedule.mailClaimMS : schedule.claimMS
                places.rooms += [Self.toPlaceMax, now + length]
            }
            ofAlert[alert.id] = number
            places.ofAlerts += [alert.id, number]
        }
        var slow: Set<Int> = []
        for (alert, sinceMS) in inFlight.values {
            guard let number = ofAlert[alert] else { continue }
            places.rooms[2 * number - 2] -= 1
            if now - sinceMS > Self.slowMS { slow.insert(number) }
        }
        for number in numbers.values where places.rooms[2 * number - 2] <= 0 {
            places.rooms[2 * number - 2] = slow.contains(number) ? -1 : 0
        }
        return places
    }

    /// Delivers a notice that was claimed, and writes down what became of it. If that fails, the claim
    /// ends by itself and it is delivered again.
    func attempt(_ claim: Claim, _ carry: AlertCarrier) async {
        let notice = claim.notice
        defer { inFlight[claim.number] = nil }
        let receipt: AlertReceipt
        do {
            if let message = try message(for: notice, claim.rules) {
                receipt = await carry(message, settings.id)
            } else {
                receipt = .refused("the alert was removed")
            }
        } catch {
            receipt = .failed("\(error)")
        }
        try? await outbox.settle(notice, outcome(of: receipt, notice))
    }

    private func outcome(of receipt: AlertReceipt, _ notice: AlertNotice) -> AlertOutbox.Outcome {
        let now = clock.now.milliseconds
        func text(_ fault: String) -> String {
            String(decoding: fault.utf8.prefix(Self.faultBytesMax), as: UTF8.self)
        }
        switch receipt {
        case .delivered:
            metrics.delivered.add()
            return .sent
        case .unsent(let fault):
            return .unsent(
                dueMS: now + Int.random(in: schedule.restMS / 2...schedule.restMS),
                fault: text(fault))
        case .failed(let fault) where notice.attempts < schedule.attemptsMax:
            metrics.failed.add()
            return .failed(
                dueMS: now + schedule.delayMS(after: notice.attempts), fault: text(fault))
        case .failed(let fault), .refused(let fault):
            metrics.dead.add()
            return .dead(atMS: now, fault: text(fault))
        }
    }

    /// What a notice says to whom its alert names now; nil when there is no such alert any more.
    private func message(for notice: AlertNotice, _ rules: Rules) throws -> AlertMessage? {
        guard let alert = rules.alerts.alerts.first(where: { $0.id == notice.alert }) else {
            return nil
        }
        let messages = AlertMessages(workspace: settings.id, limits: rules.limits)
        switch alert.target {
        case .webhook(let url):
            let secret = try Self.secret(of: alert, in: settings.id, data: data)
            return messages.webhook(
                notice, alert.watched, url: url, secret: secret, at: clock.now.milliseconds)
        case .email(let address): return messages.email(notice, alert.watched, to: address)
        }
    }

    // MARK: Secrets

    /// How secrets of webhooks are sealed, beside those of pools.
    private static let purpose = "tally alerts"

    /// - Parameter data: the folder of `secrets.key`.
    static func secret(
        of alert: Alert, in workspace: WorkspaceID, data: String
    ) throws(SecretsKey.Failure) -> String {
        let box = try SecretsKey.box(in: data, for: purpose)
        guard let sealed = alert.sealedSecret.flatMap({ Data(base64Encoded: $0) }),
            let secret = box.open(Array(sealed), for: Alert.place(of: alert.id, in: workspace))
        else { throw .foreign }
        return String(decoding: secret, as: UTF8.self)
    }

    /// Replaces the alerts. `secrets.key` has to be there for webhooks that are new.
    ///
    /// - Parameter tag: the entity tag that the list has to have; nil for any.
    /// - Returns: the list, and the secrets that were made, by the alerts' names.
    func replace(
        _ draft: AlertBook.Draft, ifTag tag: String?
    ) async throws -> (book: AlertBook, secrets: [String: String]) {
        var made: [Int: String] = [:]
        let rules = try await store.put(.alerts, ifTag: tag) { rules, writer in
            made = [:]
            let book = try AlertBook(draft, replacing: rules.alerts, limits: rules.limits) { id in
                let box = try SecretsKey.box(in: data, for: Self.purpose)
                let secret = "whsec_" + hexadecimal(randomBytes(24))
                let place = Alert.place(of: id, in: settings.id)
                guard let sealed = box.seal(Array(secret.utf8), for: place) else {
                    throw SecretsKey.Failure.unsealed
                }
                made[id] = secret
                return Data(sealed).base64EncodedString()
            }
            book.store(&writer)
        }
        self.rules = rules
        let secrets = rules.alerts.alerts.compactMap { alert in
            made[alert.id].map { (alert.name, $0) }
        }
        return (rules.alerts, Dictionary(secrets) { $1 })
    }

    /// Tells how many notices there are, in the metrics that all workspaces share.
    func count() async {
        guard let now = try? await outbox.counts() else { return }
        metrics.pendingNotices.add(now.pending - counts.pending)
        metrics.deadNotices.add(now.dead - counts.dead)
        counts = now
    }

    /// Takes its part out of these metrics.
    func forgetCounts() {
        metrics.pendingNotices.add(-counts.pending)
        metrics.deadNotices.add(-counts.dead)
        counts = (0, 0)
    }
}
