// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Observability
internal import Redis

/// Alerts: what is reached is told by the scripts that count (`lua/include/judge_alerts.lua`); here it is
/// delivered.
extension QueryEngine {
    /// The alerts in force.
    public func alerts() async throws(MeteringError) -> AlertBook {
        try await rules().alerts
    }

    /// Replaces the alerts, all of them in one step.
    ///
    /// - Parameter tag: the entity tag that the list has to have; nil for any.
    /// - Returns: the list, and the secrets of webhooks that are new, by the names of their alerts:
    ///   they are shown this once.
    /// - Throws: `EventRejection` (422 `unknown_limit`, 412 `precondition_failed`), `MeteringError`, or
    ///   another error when secrets cannot be sealed.
    public func setAlerts(
        _ draft: AlertBook.Draft, ifTag tag: String?
    ) async throws -> (book: AlertBook, secrets: [String: String]) {
        let rules = try await rules()
        var lacksSecret = false
        let book = try? AlertBook(draft, replacing: rules.alerts, limits: rules.limits) { _ in
            lacksSecret = true
            return ""
        }
        if book != nil, lacksSecret { try await prepareSecretsKey() }
        return try await dispatch.replace(draft, ifTag: tag)
    }

    /// Notices that were not delivered yet, or could not be; the first first.
    public func notices(
        _ state: NoticeState, limit: Int, after cursor: NoticeCursor? = nil
    ) async throws(MeteringError) -> NoticePage {
        try await dispatch.outbox.page(state, limit: limit, after: cursor)
    }

    /// Delivers a notice again that was given up; false when there is none of this id.
    ///
    /// - Throws: `EventRejection`, 409 `delivery_pending`, when it was not given up; `MeteringError`.
    public func retryNotice(_ id: String) async throws -> Bool {
        try await dispatch.outbox.retry(id, now: clock.now.milliseconds)
    }

    /// Tells what budgets have reached, and starts to deliver what is due.
    ///
    /// - Returns: the deliveries that were started; each ends within seconds.
    @discardableResult
    public func keepAlerts(
        _ carry: @escaping AlertCarrier, tellsBudgets: Bool = true
    ) async throws -> [Task<Void, Never>] {
        let dispatch = try dispatch
        _ = try await dispatch.refresh()
        if tellsBudgets { try await tellBudgets(dispatch) }
        return try await deliver(dispatch, carry, rounds: 20)
    }

    private func deliver(
        _ dispatch: AlertDispatch, _ carry: @escaping AlertCarrier, rounds: Int
    ) async throws(MeteringError) -> [Task<Void, Never>] {
        var tasks: [Task<Void, Never>] = []
        var offset = 0
        for _ in 0..<rounds {
            tasks += try await dispatch.claim(after: &offset).map { claim in
                Task { await attempt(claim, dispatch, carry) }
            }
            guard dispatch.rest == .behind else { break }
        }
        return tasks
    }

    private func tellBudgets(_ dispatch: AlertDispatch) async throws {
        // The message is about the days that are there; one that cannot be read makes the sum smaller.
        _ = try await dispatch.tellBudgets { range in
            let series = try await series(
                SeriesQuery(.costMicro, .day, range), countsSubjects: false)
            return series.total?.value ?? EventBatch.exactIntegerMax
        }
    }

    private func attempt(
        _ claim: AlertDispatch.Claim, _ dispatch: AlertDispatch, _ carry: @escaping AlertCarrier
    ) async {
        await dispatch.attempt(claim, carry)
        // What waits for room goes as soon as there is some, and is among the first.
        if dispatch.rest != .none { _ = try? await deliver(dispatch, carry, rounds: 1) }
    }

    /// Looks after the alerts until the engine is stopped.
    func keepAlerts(by carry: @escaping AlertCarrier) async {
        var turns = 0
        while let client = try? client {
            if client.isReady, let dispatch = try? dispatch {
                let hasAlerts = dispatch.rules.map { !$0.alerts.alerts.isEmpty } ?? true
                // What is left of alerts that were removed can wait.
                if hasAlerts || turns % 10 == 0 {
                    do {
                        try await keepAlerts(carry, tellsBudgets: turns % 4 == 0)
                    } catch {
                        logger.warning("alerts were not looked after", ["reason": "\(error)"])
                    }
                } else {
                    _ = try? await dispatch.refresh()
                }
                if turns % 20 == 0 {
                    await dispatch.count()
                    await watchSecrets()
                }
                turns += 1
            }
            let isBusy = (try? dispatch.rules.map { !$0.alerts.alerts.isEmpty }) ?? false
            await loop.sleep(for: .milliseconds(isBusy ? 250 : 1_000))
        }
    }
}
