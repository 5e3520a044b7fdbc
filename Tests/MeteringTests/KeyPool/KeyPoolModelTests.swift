// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// What a pool means, in the plainest form.
struct PoolModel {
    struct Key: Equatable {
        var id: Int
        var provider: String
        var name: String
        var secret: String
        var status = "active"
        var balance: Int?
        var holder: String?
        var used: Int?
        var error: String?
        var created: Int
    }

    var keys: [Key] = []
    var thresholds: [String: Int] = [:]
    var received: [String: Int] = [:]
    var firstUses: [String: Int] = [:]

    func index(_ id: Int, _ provider: String) -> Int? {
        keys.firstIndex { $0.id == id && $0.provider == provider }
    }

    mutating func assign(_ count: Int, _ provider: String, to subject: String) -> [Int] {
        let threshold = thresholds[provider] ?? 800
        let free = keys.indices.filter {
            let key = keys[$0]
            return key.provider == provider && key.holder == nil && key.status == "active"
                && (key.balance.map { $0 > threshold } ?? true)
        }.sorted { left, right in
            let (left, right) = (keys[left], keys[right])
            if left.balance != right.balance {
                guard let balance = left.balance else { return false }
                return right.balance.map { balance > $0 } ?? true
            }
            return (left.created, left.id) < (right.created, right.id)
        }.prefix(count)
        for index in free { keys[index].holder = subject }
        if !free.isEmpty { received[subject, default: 0] += free.count }
        return free.map { keys[$0].id }
    }

    func holder(_ subject: String) -> [Int]? {
        let held = keys.filter { $0.holder == subject }
        guard received[subject] != nil else { return nil }
        let active = held.filter { $0.status == "active" }
        return [
            received[subject] ?? 0, firstUses[subject] ?? 0, held.count, active.count,
            held.count { $0.status == "dead" }, held.count { $0.status == "out_of_credit" },
            held.count { $0.used != nil },
            active.count { ($0.balance ?? .min) > thresholds[$0.provider] ?? 800 },
            active.reduce(0) { $0 + ($1.balance ?? 0) },
        ]
    }
}

@Suite(.timeLimit(.minutes(15))) struct KeyPoolModelTests {
    static let subjects = ["1", "10", "a", "ab", "an", "user@example.org"]
    static let providers = ["elevenlabs", "eleven", "e"]
    static let states = ["active", "active", "active", "dead", "out_of_credit"]

    @Test(arguments: 1...6)
    func `Whatever is done in whatever order, the pool is what the model says`(seed: UInt64)
        async throws
    {
        try await withPool(2) { bench in
            var run = PoolRun(bench: bench, generator: SeededGenerator(seed))
            for step in 0..<400 {
                try await run.step()
                if step % 40 == 39 { try await run.compare() }
            }
            #expect(run.model.keys.count > 20)
            #expect(run.model.firstUses.values.reduce(0, +) > 5)
        }
    }
}

/// One run of random changes, made to the engines and to the model.
private struct PoolRun {
    let bench: PoolBench
    var generator: SeededGenerator
    var model = PoolModel()
    var secrets = 0

    typealias Names = KeyPoolModelTests

    mutating func one<Value>(of values: [Value]) -> Value {
        values[Int.random(in: 0..<values.count, using: &generator)]
    }

    mutating func balance() -> Int? {
        one(of: [
            nil, 0, -3, 799, 800, 801, Int.random(in: 0...2000, using: &generator),
            1_000_000_000_000,
        ])
    }

    /// A key that is there, mostly.
    mutating func someID() -> (id: Int, provider: String) {
        if !model.keys.isEmpty, Int.random(in: 0..<10, using: &generator) > 0 {
            let key = one(of: model.keys)
            return (key.id, key.provider)
        }
        return (Int.random(in: 1...300, using: &generator), one(of: Names.providers))
    }

    mutating func step() async throws {
        let engine = one(of: bench.engines)
        if Bool.random(using: &generator) { bench.clock.advance(1 + secrets % 3) }
        switch Int.random(in: 0..<20, using: &generator) {
        case 0...2: try await add(engine)
        case 3...6:
            let (provider, subject) = (one(of: Names.providers), one(of: Names.subjects))
            let count = Int.random(in: 1...8, using: &generator)
            let expected = model.assign(count, provider, to: subject)
            let got = try await engine.assign(
                count, to: subject, provider: poolProvider(provider))
            #expect(got == expected)
        case 7...12: try await report(engine)
        case 13, 14: try await edit(engine)
        case 15, 16:
            let (id, provider) = someID()
            let key = try await engine.unassign(id, provider: poolProvider(provider))
            let index = model.index(id, provider)
            #expect((key != nil) == (index != nil) && key?.holder == nil)
            if let index { model.keys[index].holder = nil }
        case 17:
            let (id, provider) = someID()
            let isDeleted = try await engine.deletePoolKey(id, of: poolProvider(provider))
            let index = model.index(id, provider)
            #expect(isDeleted == (index != nil))
            if let index { model.keys.remove(at: index) }
        default:
            let provider = one(of: Names.providers)
            let threshold = one(of: [0, 500, 800, 800, 1500])
            try await engine.setPoolThreshold(threshold, of: poolProvider(provider))
            model.thresholds[provider] = threshold
        }
    }

    mutating func add(_ engine: QueryEngine) async throws {
        let provider = one(of: Names.providers)
        var rows: [PoolModel.Key] = []
        for _ in 0..<Int.random(in: 1...10, using: &generator) {
            secrets += 1
            let known = Int.random(in: 0..<6, using: &generator) == 0 ? secrets / 2 : secrets
            rows.append(
                PoolModel.Key(
                    id: 0, provider: provider, name: "Key \(secrets)", secret: "secret-\(known)",
                    status: one(of: Names.states), balance: balance(),
                    created: bench.clock.now.milliseconds))
        }
        let outcomes = try await engine.importPoolKeys(
            try rows.map {
                try PoolKeyDraft(
                    name: $0.name, secret: $0.secret,
                    creditBalance: $0.balance.map { "\($0)" } ?? "", status: $0.status)
            }, to: poolProvider(provider))
        try #require(outcomes.count == rows.count)
        for (row, outcome) in zip(rows, outcomes) {
            let isKnown = model.keys.contains {
                $0.provider == provider && $0.secret == row.secret
            }
            #expect((outcome.id == nil) == isKnown)
            guard var id = outcome.id else { continue }
            #expect(!model.keys.contains { $0.id >= id })
            var row = row
            swap(&row.id, &id)
            model.keys.append(row)
        }
    }

    mutating func report(_ engine: QueryEngine) async throws {
        let (id, provider) = someID()
        let (status, balance) = (one(of: Names.states), balance())
        let message = one(of: [nil, "no \"credits\"", "é"])
        let caller = one(of: [nil, nil, one(of: Names.subjects)])
        let isFirst = try await engine.report(
            id, status, balance.map { "\($0)" } ?? "null", error: message.map(quoted) ?? "null",
            provider: poolProvider(provider), by: caller)
        guard let index = model.index(id, provider),
            caller == nil || model.keys[index].holder == caller
        else {
            #expect(isFirst == nil)
            return
        }
        #expect(isFirst == (model.keys[index].used == nil))
        if model.keys[index].used == nil, let holder = model.keys[index].holder {
            model.firstUses[holder, default: 0] += 1
        }
        model.keys[index].used = bench.clock.now.milliseconds
        model.keys[index].status = status
        model.keys[index].balance = balance
        model.keys[index].error = message
    }

    mutating func edit(_ engine: QueryEngine) async throws {
        let (id, provider) = someID()
        let (status, balance) = (one(of: Names.states), balance())
        let key = try await engine.edit(
            id, #"{"status":"\#(status)","credit_balance":\#(balance.map { "\($0)" } ?? "null")}"#,
            provider: poolProvider(provider))
        let index = model.index(id, provider)
        #expect((key != nil) == (index != nil))
        guard let index else { return }
        model.keys[index].status = status
        model.keys[index].balance = balance
    }

    /// Compares all that can be read.
    func compare() async throws {
        for provider in Names.providers {
            let keys = model.keys.filter { $0.provider == provider }
            for (filter, expected) in [
                (PoolKeyFilter(), keys), (filter(true), keys.filter { $0.holder != nil }),
                (filter(false), keys.filter { $0.holder == nil }),
            ] {
                let listed = try await pages(provider, filter)
                #expect(listed.map(PoolModel.Key.init) == expected.map(\.masked))
            }
            for subject in Names.subjects {
                let held = try await bench.engine.heldPoolKeys(
                    by: subjectID(subject), of: poolProvider(provider))
                #expect(held.map(PoolModel.Key.init) == keys.filter { $0.holder == subject })
            }
        }
        for subject in Names.subjects {
            let holder = try await bench.engine.holder(subject)
            #expect(holder.map(\.numbers) == model.holder(subject), "\(subject)")
            let recent = try await bench.engine.recentPoolKeys(of: subjectID(subject), count: 10)
            let expected = model.keys.filter { $0.holder == subject && $0.used != nil }
                .sorted { ($0.used ?? 0, $0.id) > ($1.used ?? 0, $1.id) }.prefix(10)
            #expect(recent.map(\.id) == expected.map(\.id), "\(subject)")
        }
    }

    private func filter(_ isAssigned: Bool) -> PoolKeyFilter {
        var filter = PoolKeyFilter()
        filter.isAssigned = isAssigned
        return filter
    }

    private func pages(
        _ provider: String, _ filter: PoolKeyFilter
    ) async throws -> [PoolKeyDetail] {
        var (listed, place): ([PoolKeyDetail], Int?) = ([], 0)
        while let after = place {
            let page = try await bench.engine.poolKeys(
                of: poolProvider(provider), filter, limit: 7, after: after)
            #expect(page.keys.count <= 7)
            listed += page.keys
            place = page.next
        }
        return listed
    }

    private func quoted(_ text: String) -> String {
        "\"" + text.replacing("\"", with: "\\\"") + "\""
    }
}

extension PoolHolder {
    /// In the order of the model's.
    fileprivate var numbers: [Int] {
        [received, firstUses, assigned, active, dead, outOfCredit, used, ready, credits]
    }
}

extension PoolModel.Key {
    fileprivate init(_ detail: PoolKeyDetail) {
        let key = detail.key
        self.init(
            id: key.id, provider: key.provider.name, name: key.name.text,
            secret: detail.secret ?? "(unread)", status: "\(key.status.name)",
            balance: key.creditBalance, holder: key.holder?.id.text,
            used: key.lastUsed?.milliseconds, error: key.lastError?.text,
            created: key.created.milliseconds)
    }

    /// As lists show it.
    fileprivate var masked: Self {
        var key = self
        key.secret = "****" + (secret.count < 12 ? "" : secret.suffix(4))
        return key
    }
}
