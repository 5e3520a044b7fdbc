// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct MergeTests {
    private static func merge(
        _ bench: Bench, _ guest: String, into user: String
    ) async throws -> DecisionStatus {
        let plan = try await bench.queries.mergePlan(of: subjectID(guest))
        return try await bench.engine.merge(plan, into: subjectID(user)).status
    }

    @Test func `Grants, debts, holds and windows go over, and both ledgers add up`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                try await bench.setLimits(
                    """
                    {"limits":[{"name":"files","meter":"files_uploaded","window":"day","user":10,\
                    "guest":5},{"name":"slots","meter":"processing_slots","window":"concurrent",\
                    "user":3,"guest":2}]}
                    """)
                _ = try await bench.grant("guest:1", 100 * one, id: "welcome", expires: noon + day)
                _ = try await bench.grant("guest:1", 7 * one, id: "gift", priority: 2)
                _ = try await bench.grant("ann", 20 * one, id: "welcome")
                await bench.charge("guest:1", 30 * one)
                await bench.charge("ann", 5 * one)
                _ = await bench.record(event("guest:1", ["files_uploaded": 3]))
                _ = await bench.record(event("ann", ["files_uploaded": 4]))
                _ = try await bench.open("h", "guest:1", 10 * one)
                let slot = try await bench.decide(
                    .openHold(id: ByteString("s"), seconds: 60), "guest:1",
                    amounts: [(Meter(name: Array("processing_slots".utf8)) ?? .tokens, 1)])
                #expect(slot.status == .allowed)

                #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
                let ann = try await bench.account("ann")
                #expect(ann.balance == (70 + 7 + 20 - 5) * one)
                #expect(ann.held == 10 * one && ann.totalConsumed == 35 * one)
                #expect(
                    ann.grants.map { "\($0.id.text) \($0.left / one)" }.sorted()
                        == ["gift 7", "guest:1/welcome 70", "welcome 15"])
                try await bench.checkedLedger("ann")
                let guest = try await bench.account("guest:1")
                #expect(guest.balance == 0 && guest.held == 0 && guest.grants.isEmpty)
                try await bench.checkedLedger("guest:1")
                let check = try await bench.decide(.check, "ann")
                #expect(check.limits.first { $0.limit.name == "files" }?.used == 7)
                #expect(check.limits.first { $0.limit.name == "slots" }?.used == 1)

                // A hold is the user's now, in either name.
                let settled = await bench.commit(
                    "h", event("guest:1", ["credits_micro": 4 * one], id: "x"))
                #expect(settled.counted != nil)
                #expect(try await bench.release("s", "ann").status == .allowed)
                let after = try await bench.account("ann")
                #expect(after.held == 0 && after.balance == 88 * one)
                try await bench.checkedLedger("ann")
            }
        }
    }

    @Test func `What a guest used of rolling windows and rates leaves them at its own time`()
        async throws
    {
        try await withBench { host, bench, _ in
            try await bench.setLimits(
                """
                {"limits":[{"name":"window","meter":"files_uploaded","window":"rolling","period_s":300,\
                "user":10,"guest":5},{"name":"flow","meter":"messages","window":"rate","period_s":60,\
                "user":60,"guest":60,"burst":60}]}
                """)
            _ = await bench.record(event("guest:1", ["files_uploaded": 3, "messages": 50]))
            bench.clock.advance(20_000)
            _ = await bench.record(event("ann", ["files_uploaded": 4, "messages": 5]))
            #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
            func used(_ host: isolated LoopHost) async throws -> [Int] {
                let check = try await bench.decide(
                    .check, "ann", amounts: [(.filesUploaded, 0), (.messages, 0)])
                return ["window", "flow"].map { name in
                    check.limits.first { $0.limit.name == name }?.used ?? -1
                }
            }
            // A rate of one a second has let 20 of the guest's go by.
            #expect(try await used(host) == [7, 35])
            bench.clock.advance(10_000)
            #expect(try await used(host) == [7, 25])
            bench.clock.advance(280_000)
            #expect(try await used(host) == [4, 0])
            bench.clock.advance(20_000)
            #expect(try await used(host) == [0, 0])
        }
    }

    @Test func `What a guest owes the user owes, and its allowance ends`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                try await bench.setPolicy(allowance: 10 * one, overdraft: 100 * one)
                await bench.charge("guest:1", 4 * one)
                await bench.charge("guest:2", 25 * one)
                await bench.charge("ann", 1 * one)
                #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
                #expect(try await bench.account("ann").balance == 9 * one)
                #expect(try await Self.merge(bench, "guest:2", into: "ann") == .allowed)
                let ann = try await bench.account("ann")
                #expect(ann.balance == -6 * one)
                #expect(ann.totalConsumed == 30 * one && ann.monthConsumed == 30 * one)
                for subject in ["ann", "guest:1", "guest:2"] {
                    try await bench.checkedLedger(subject, page: 2, "\(subject)")
                }
            }
        }
    }

    @Test func `What a guest owes is paid by the user's grants, whichever comes first`()
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(overdraft: 100 * one)
            for user in ["first", "second"] {
                await bench.charge("guest:\(user)", 5 * one)
                if user == "first" { try await bench.grant(user, 10 * one, id: "g") }
                #expect(try await Self.merge(bench, "guest:\(user)", into: user) == .allowed)
                if user == "second" { try await bench.grant(user, 10 * one, id: "g") }
                let account = try await bench.account(user)
                #expect(account.balance == 5 * one)
                #expect(account.grants.map(\.left) == [5 * one])
            }
            // A reset forgives neither.
            bench.clock.advance(40 * day)
            for user in ["first", "second"] {
                #expect(try await bench.account(user).balance == 5 * one)
                try await bench.checkedLedger(user)
            }
        }
    }

    @Test func `A hold that ended before its guest became a user says so`() async throws {
        try await withBench { _, bench, _ in
            try await bench.grant("guest:1", 10 * one, id: "g")
            _ = try await bench.open("h", "guest:1", one)
            _ = try await bench.release("h", "guest:1")
            #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
            for subject in ["guest:1", "ann"] {
                let again = await bench.commit("h", event(subject, ["credits_micro": one]))
                #expect(again.refused?.status == .holdEnded, "\(subject)")
                #expect(again.refused?.holdState == .released)
            }
            let other = await bench.commit("h", event("bob", ["credits_micro": one]))
            #expect(other.refused?.status == .holdMissing)
        }
    }

    @Test func `A commit that is sent again after its guest became a user is the same`()
        async throws
    {
        try await withBench { host, bench, _ in
            try await bench.grant("guest:1", 10 * one, id: "g")
            _ = try await bench.open("h", "guest:1", one)
            func commit(_ subject: String, _ host: isolated LoopHost) async -> EventOutcome {
                await bench.commit("h", event(subject, ["credits_micro": one], id: "c"))
            }
            #expect(await commit("guest:1", host).counted != nil)
            #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
            for subject in ["guest:1", "ann"] {
                #expect(await commit(subject, host).duplicate != nil, "\(subject)")
            }
            #expect(await commit("bob", host).duplicate == nil)
            #expect(try await bench.account("ann").balance == 9 * one)
        }
    }

    @Test func `A guest's holds that had ended are the user's, and known when sent again`()
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.grant("guest:1", 10 * one, id: "g")
            for id in ["expired", "released", "settled", "open"] {
                _ = try await bench.open(id, "guest:1", one, seconds: id == "expired" ? 5 : 60)
            }
            _ = try await bench.release("released", "guest:1")
            #expect(await bench.commit("settled", event("guest:1")).counted != nil)
            bench.clock.advance(10_000)
            #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
            for state in [HoldState.expired, .released, .settled, .open] {
                for subject in ["guest:1", "ann"] {
                    let again = try await bench.open(state.name, subject, one)
                    #expect(again.status == .repeated, "\(state) \(subject)")
                    #expect(again.holdState == state)
                }
                #expect(try await bench.open(state.name, "bob", one).status == .conflict)
                #expect(try await bench.open(state.name, "ann", 2 * one).status == .conflict)
                for subject in [nil, "ann", "guest:1"] {
                    let page = try await bench.queries.holds(
                        state, of: subject.map { subjectID($0) }, limit: 10)
                    let found = page.holds.map { "\($0.id.text) \($0.subject.id.text)" }
                    #expect(found == (subject == "guest:1" ? [] : ["\(state.name) ann"]))
                }
                let hold = try await bench.engine.accounts.hold(ByteString(state.name))
                #expect(hold?.subject == subjectID("ann"), "\(state)")
            }
        }
    }

    @Test func `What a guest's undone events gave back is added to the user's`() async throws {
        try await withBench { _, bench, _ in
            for subject in ["guest:1", "ann", "guest:2", "bob"] {
                try await bench.grant(subject, 20 * one, id: "g")
                if subject == "bob" { continue }
                await bench.charge(subject, 10 * one, id: subject)
                #expect(try await bench.reverse(subject)?.counted != nil)
            }
            #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
            #expect(try await Self.merge(bench, "guest:2", into: "bob") == .allowed)
            let grants = try await bench.account("ann").grants
            #expect(
                grants.map { "\($0.id.text) \($0.left / one)" }.sorted() == [
                    "g 10", "guest:1/g 10", "reversals 20",
                ])
            let bobs = try await bench.account("bob").grants.map(\.id.text).sorted()
            #expect(bobs == ["g", "guest:2/g", "reversals"])
            for subject in ["ann", "bob"] { try await bench.checkedLedger(subject) }
        }
    }

    @Test func `What a guest was granted is not granted again to the user whom it became`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                #expect(try await bench.grant("guest:1", 20 * one, id: "spent") == .allowed)
                #expect(try await bench.grant("guest:1", 20 * one, id: "begun") == .allowed)
                await bench.charge("guest:1", 25 * one)
                #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
                for id in ["spent", "begun"] {
                    #expect(
                        try await bench.grant("guest:1", 20 * one, id: id) == .repeated, "\(id)")
                    #expect(
                        try await bench.grant("guest:1", 21 * one, id: id) == .conflict, "\(id)")
                }
                #expect(try await bench.account("ann").balance == 15 * one)
                // New ones are the user's, and known by either name.
                #expect(try await bench.grant("guest:1", 3 * one, id: "new") == .allowed)
                for subject in ["guest:1", "ann"] {
                    #expect(try await bench.grant(subject, 3 * one, id: "new") == .repeated)
                }
                #expect(try await bench.account("ann").balance == 18 * one)
                try await bench.checkedLedger("ann")
            }
        }
    }

    @Test func `A user with all grants it may have gets a guest who brings none, but no other`()
        async throws
    {
        try await withBench { _, bench, _ in
            func give(_ subject: String, _ count: Int) async throws {
                for number in 0..<count {
                    let status = try await bench.grant(subject, 2 * one, id: "g\(number)")
                    #expect(status == .allowed, "\(number)")
                    // The first grant has half of it left, and `reversals` has the other half.
                    guard number == 0 else { continue }
                    await bench.charge(subject, one, id: subject)
                    #expect(try await bench.reverse(subject)?.counted != nil)
                }
            }

            try await give("ann", 200)
            #expect(try await bench.account("ann").grants.count == 201)
            #expect(try await bench.grant("ann", one, id: "more") == .tooMany)
            _ = await bench.record(event("guest:1"))
            #expect(try await Self.merge(bench, "guest:1", into: "ann") == .allowed)
            try await give("guest:2", 1)
            #expect(try await Self.merge(bench, "guest:2", into: "ann") == .tooMany)
            // What reversals gave back is one beside the others, whoever brings it.
            await bench.charge("guest:2", one, id: "all of the grant")
            #expect(try await bench.account("guest:2").grants.map(\.id.text) == ["reversals"])
            #expect(try await Self.merge(bench, "guest:2", into: "ann") == .allowed)
            #expect(try await bench.account("ann").grants.count == 201)
            #expect(try await bench.account("ann").balance == 401 * one)
            try await bench.checkedLedger("ann", page: 100)
            // Nothing is lost at the bound.
            for (user, its) in [("bob", 199), ("cleo", 200)] {
                let guest = "guest:\(user)"
                for number in 0..<its { try await bench.grant(user, one, id: "u\(number)") }
                try await give(guest, 1)
                let status = try await Self.merge(bench, guest, into: user)
                #expect(status == (its == 199 ? .allowed : .tooMany))
                let account = try await bench.account(user)
                #expect(account.grants.count == (its == 199 ? 201 : 200))
                #expect(account.balance == (its == 199 ? 201 : 200) * one)
                for subject in [user, guest] { try await bench.checkedLedger(subject, page: 100) }
            }
        }
    }
}
