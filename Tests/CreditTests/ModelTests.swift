// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// Random operations on some subjects, on two engines and on the model.
private final class Play {
    private let benches: [Bench]
    private let zone: String
    private var policy: CreditModel.Policy
    private var models: [String: CreditModel] = [:]
    private var random: SeededGenerator
    private var number = 0
    private var clock: ManualClock { benches[0].clock }
    private var now: Int { clock.now.milliseconds }

    init(_ benches: [Bench], zone: String, _ policy: CreditModel.Policy, seed: UInt64) {
        self.benches = benches
        self.zone = zone
        self.policy = policy
        random = SeededGenerator(seed)
    }

    private func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private func bench() -> Bench { benches[pick(0...1)] }

    private func name(_ kind: String) -> String {
        number += 1
        return "\(kind)-\(number)"
    }

    /// Credits with and without fractions.
    private func credits(_ most: Int) -> Int {
        pick(0...1) == 0 ? pick(1...most) * one : pick(1...most * one)
    }

    func step(_ index: Int) async throws {
        move()
        if pick(0...24) == 0 { try await changePolicy() }
        let subject = "s\(pick(0...2))"
        var model =
            models[subject] ?? CreditModel(policy, zone: zone, at: clock.now.milliseconds)
        model.move(to: now)
        let what = try await act(&model, subject)
        models[subject] = model
        try await compare(subject, "step \(index), \(what)")
        guard index % 12 == 0 else { return }
        for (subject, model) in models {
            var model = model
            model.move(to: now)
            models[subject] = model
            try await compare(subject, "step \(index), all")
            try await bench().checkedLedger(subject, page: pick(1...30), "step \(index)")
        }
    }

    /// Moves the clock: by little, by months, or to just before, at or after what is due.
    private func move() {
        switch pick(0...9) {
        case 0...3: clock.advance(pick(0...20_000))
        case 4: clock.advance(pick(0...day))
        case 5: clock.advance(pick(0...40 * day))
        case 6 where pick(0...3) == 0: clock.advance(pick(0...400 * day))
        default:
            let due = models.values.compactMap(\.nextDue).filter { $0 > now }
            if let instant = due.randomElement(using: &random) {
                clock.set(max(now, instant + pick(-1...1)))
            }
        }
    }

    /// It holds for each account from when that is used next.
    private func changePolicy() async throws {
        for (subject, model) in models {
            var model = model
            model.move(to: now)
            models[subject] = model
            // Written, so that what was due until now went by the policy of now.
            _ = try await bench().decide(.setAllowance, subject, model.seen.allowance)
            models[subject]?.setAllowance(model.seen.allowance)
        }
        policy.isCalendar.toggle()
        policy.rollover = [0, credits(50)][pick(0...1)]
        for subject in models.keys { models[subject]?.policy = policy }
        try await bench().setPolicy(policy)
    }

    private func act(_ model: inout CreditModel, _ subject: String) async throws -> String {
        switch pick(0...11) {
        case 0: return try await check(model, subject)
        case 1, 2: return await charge(&model, subject)
        case 3, 4: return await enforce(&model, subject)
        case 5, 6: return try await grant(&model, subject)
        case 7: return try await allowance(&model, subject)
        case 8: return try await open(&model, subject)
        case 9: return await commit(&model, subject)
        case 10: return try await release(&model, subject)
        default: return try await reverse(&model, subject)
        }
    }

    private func check(_ model: CreditModel, _ subject: String) async throws -> String {
        let cost = credits(120)
        let verdict = try await bench().decide(.check, subject, cost)
        #expect((verdict.status == .allowed) == model.allows(cost))
        #expect(verdict.balance == model.seen.balance && verdict.held == model.held)
        if verdict.status == .creditsShort {
            #expect(verdict.creditsSufficeAt?.milliseconds == model.suffices(cost))
        }
        return "check \(cost)"
    }

    private func charge(_ model: inout CreditModel, _ subject: String) async -> String {
        let cost = credits(80)
        let outcome = await bench().charge(subject, cost)
        if let counted = outcome.counted { model.charge(cost, id: counted.id.text) }
        #expect(outcome.counted?.balance == model.balance)
        return "charge \(cost)"
    }

    private func enforce(_ model: inout CreditModel, _ subject: String) async -> String {
        let cost = credits(120)
        let allowed = model.allows(cost)
        let outcome = await bench().charge(subject, cost, enforce: true)
        #expect((outcome.counted != nil) == allowed)
        #expect((outcome.refused?.status == .creditsShort) == !allowed)
        if let counted = outcome.counted { model.charge(cost, id: counted.id.text) }
        return "enforce \(cost)"
    }

    private func grant(_ model: inout CreditModel, _ subject: String) async throws -> String {
        // Now and then one that was given before, perhaps another amount.
        let old = pick(0...4) == 0 ? model.grants.randomElement(using: &random) : nil
        let expires =
            old?.expires
            ?? [Int.max, now + pick(1...100_000), now + pick(1...90 * day)][pick(0...2)]
        let grant = CreditModel.Grant(
            id: old?.id ?? name("grant"), left: credits(150), expires: expires,
            priority: old?.priority ?? pick(0...3))
        let status = try await bench().grant(
            subject, grant.left, id: grant.id, expires: expires == Int.max ? nil : expires,
            priority: grant.priority)
        #expect(status == model.grant(grant))
        return "\(grant)"
    }

    private func allowance(_ model: inout CreditModel, _ subject: String) async throws -> String {
        let allowance = pick(0...3) == 0 ? 0 : credits(200)
        #expect(
            try await bench().decide(.setAllowance, subject, allowance).status == .allowed)
        model.setAllowance(allowance)
        return "allowance \(allowance)"
    }

    private func open(_ model: inout CreditModel, _ subject: String) async throws -> String {
        let old = pick(0...4) == 0 ? model.holds.randomElement(using: &random) : nil
        let id = old?.key ?? name("hold")
        let amount = old.map { $0.value.credits + pick(0...1) } ?? credits(60)
        let seconds = [1, 10, pick(1...86_400)][pick(0...2)]
        let verdict = try await bench().open(id, subject, amount, seconds: seconds)
        #expect(verdict.status == model.open(id, amount, seconds: seconds))
        if old != nil { #expect(verdict.holdState == model.holds[id]?.state) }
        return "hold \(id) \(amount)"
    }

    private func anyHold(_ model: CreditModel) -> String {
        let open = model.openHolds.keys.sorted()
        let all = model.holds.keys.sorted()
        return (pick(0...3) == 0 ? all : open).randomElement(using: &random) ?? "none"
    }

    private func commit(_ model: inout CreditModel, _ subject: String) async -> String {
        let id = anyHold(model)
        let policy = [SettlePolicy.cap, .overflow, .reject][pick(0...2)]
        let cost = credits(80)
        let outcome = await bench().commit(
            id, event(subject, ["credits_micro": cost]), policy, held: model.holds[id]?.credits)
        let expected = model.commit(id, cost, policy, event: outcome.counted?.id.text ?? "")
        #expect(outcome.status == expected)
        if expected == .holdEnded {
            #expect(outcome.refused?.holdState == model.holds[id]?.state)
        }
        return "commit \(id) \(policy) \(cost)"
    }

    private func release(_ model: inout CreditModel, _ subject: String) async throws -> String {
        let id = anyHold(model)
        let verdict = try await bench().release(id, subject)
        #expect(verdict.status == model.release(id))
        if verdict.status == .holdEnded { #expect(verdict.holdState == model.holds[id]?.state) }
        return "release \(id)"
    }

    private func reverse(_ model: inout CreditModel, _ subject: String) async throws -> String {
        guard let id = model.charges.keys.sorted().randomElement(using: &random) else {
            return "nothing to reverse"
        }
        let outcome = try #require(try await bench().reverse(id))
        #expect((outcome.counted != nil) == model.reverse(id))
        return "reverse \(id)"
    }

    private func compare(_ subject: String, _ comment: Comment) async throws {
        let model = try #require(models[subject])
        let seen = model.seen
        let account = try await bench().account(subject)
        #expect(account.balance == seen.balance, comment)
        #expect(account.held == seen.held, comment)
        #expect(account.monthlyAllowance == seen.allowance, comment)
        #expect(account.monthConsumed == seen.monthUsed, comment)
        #expect(account.totalConsumed == seen.totalUsed, comment)
        #expect(account.nextReset?.milliseconds == seen.nextReset, comment)
        let grants = account.grants.map {
            CreditModel.Grant(
                id: $0.id.text, left: $0.left, expires: $0.expires?.milliseconds ?? Int.max,
                priority: $0.priority)
        }
        #expect(grants == seen.grants, comment)
        for (id, hold) in model.holds.suffix(5) {
            let known = try await bench().engine.accounts.hold(ByteString(id))
            #expect(known?.state == hold.state && known?.credits == hold.credits, comment)
        }
    }
}

extension Bench {
    fileprivate func setPolicy(_ policy: CreditModel.Policy) async throws {
        try await setPolicy(
            allowance: policy.allowance, overdraft: policy.overdraft, rollover: policy.rollover,
            reset: policy.isCalendar ? .calendar : .anniversary)
    }
}

/// A workspace that is played in.
struct Scene: Sendable, CustomTestStringConvertible {
    let seed: UInt64
    let zone: String
    let policy: CreditModel.Policy
    var testDescription: String { "\(seed) in \(zone)" }

    init(
        _ seed: UInt64, _ zone: String, isCalendar: Bool = false, allowance: Int = 100,
        overdraft: Int = 0, rollover: Int = 0
    ) {
        self.seed = seed
        self.zone = zone
        policy = CreditModel.Policy(
            allowance: allowance * one, overdraft: overdraft * one, rollover: rollover * one,
            isCalendar: isCalendar)
    }

    static let all = [
        Scene(1, "UTC"), Scene(2, "Europe/Berlin", overdraft: 30, rollover: 40),
        Scene(3, "America/Sao_Paulo", isCalendar: true, allowance: 0, rollover: 1_000_000),
        Scene(4, "Asia/Kathmandu", overdraft: 100),
        Scene(5, "America/Sao_Paulo", rollover: 20),
        Scene(6, "Australia/Lord_Howe", isCalendar: true, overdraft: 15, rollover: 10),
    ]
}

@Suite(.timeLimit(.minutes(15))) struct ModelTests {
    @Test(arguments: Scene.all)
    func `Random operations under a moved clock agree with the model`(scene: Scene) async throws {
        // When there was daylight saving in all of the zones: 2015-10-10T12:00:00Z.
        try await withBenches(at: 1_444_478_400_000, zone: scene.zone) { _, left, right, _ in
            let policy = scene.policy
            try await left.setPolicy(policy)
            let play = Play([left, right], zone: scene.zone, policy, seed: scene.seed)
            for index in 1...400 { try await play.step(index) }
        }
    }
}
