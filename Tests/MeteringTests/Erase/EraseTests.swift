// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import JSON
import Metering
import Observability
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct EraseTests {
    private static let day = 86_400_000
    private static let person = "\(mark)@example.com"
    /// All that must not be found anywhere afterwards; the phone number is found by its digits.
    private static let texts = [mark, mark.uppercased(), "917331917331"]

    /// Has a person do everything that can be done, on so many days, among others.
    private static func live(_ world: RestoreBench, days: Int) async throws {
        let (bench, queries) = (world.bench, world.queries)
        while await !queries.isReady { await world.rest() }
        var policy = CreditPolicy()
        policy.defaultAllowance = 7_000_000
        _ = try await bench.engine.setCreditPolicy(policy)
        try await queries.put(
            person,
            """
            {"email":"\(mark.uppercased())@Example.com","phone":"+49 (917) 331-917331",\
            "username":"\(mark) user","full_name":"Ms \(mark)"}
            """)
        let alerts = """
            {"alerts":[{"name":"hers","on":{"limit":"files_per_day"},"percent":[1],"subject":"\(person)",\
            "to":{"email":"a@b.example"}},{"name":"all","on":{"limit":"files_per_day"},"percent":[1,2],\
            "to":{"email":"a@b.example"}},{"name":"to","on":{"budget":"10"},"percent":[50],\
            "to":{"email":"\(mark)@example.com"}}]}
            """
        _ = try await queries.setAlerts(
            AlertBook.Draft(try JSONReader().read(Array(alerts.utf8))), ifTag: nil)
        try await queries.stock([5000, 900, nil, 50])
        #expect(try await queries.assign(2, to: person).count == 2)
        #expect(try await queries.assign(1, to: "bob").count == 1)
        for name in [person, "bob"] {
            for (id, expires) in [("\(mark)-gift", nil), ("\(mark)-short", noon + 3 * day)] {
                _ = try await bench.engine.decide(
                    Decision(
                        .grant(
                            id: ByteString(name == "bob" ? "gift" : id),
                            expires: expires.map { Timestamp(milliseconds: $0) }, priority: 1),
                        subject: subjectID(name), credits: 2_000_000))
            }
        }
        for number in 0..<days {
            try await act(world, number)
            world.clock.advance(day)
            try await bench.closer.closeDays()
            if number % 3 == 0 || number > days - 8 { try await world.flushing.flush() }
        }
        try await act(world, days)
    }

    private static func act(_ world: RestoreBench, _ number: Int) async throws {
        let (bench, queries) = (world.bench, world.queries)
        func named(_ subject: String, _ id: String, _ amounts: [String: Int]) -> UsageEvent {
            var made = event(subject, amounts, id: id)
            let isHers = subject.contains(mark)
            made.description = ByteString(isHers ? "asks about \(mark)" : "of others")
            return made
        }
        var events = [
            named(person, "\(mark)-\(number)", ["tokens": 7 + number, "files_uploaded": 1]),
            named(person, "\(mark)-a-very-long-id-of-\(number)", ["credits_micro": 90_000]),
            named("bob", "bob-\(number)", ["tokens": 9, "credits_micro": 50_000]),
            named("eve", "eve-\(number)", ["tokens": number]),
        ]
        if number % 4 == 0 {
            events.append(named("guest:\(mark)", "\(mark)-g\(number)", ["tokens": 3]))
        }
        #expect(await bench.record(events).allSatisfy { $0.counted != nil })
        // Sent again, in a batch with another's that counts.
        let again = await bench.record([events[0], named("eve", "eve2-\(number)", ["tokens": 1])])
        #expect(again[0].duplicate != nil)
        if number % 5 == 3 {
            _ = try await bench.engine.reverse(
                ByteString("\(mark)-\(number)"), reason: ByteString("\(mark) asked for it"))
        }
        if number % 9 == 4 {
            let plan = try await queries.mergePlan(of: subjectID("guest:\(mark)"))
            _ = try await bench.engine.merge(plan, into: subjectID(person))
        }
        for name in [person, "bob"] {
            let id = ByteString("\(name == "bob" ? "bob" : mark)-hold-\(number)")
            _ = try await bench.engine.decide(
                Decision(
                    .openHold(id: id, seconds: 3 * 86_400), subject: subjectID(name),
                    credits: 1_000, amounts: [(.filesUploaded, 1)]))
            if number % 2 == 0 {
                _ = try await bench.engine.decide(
                    Decision(.releaseHold(id: id), subject: subjectID(name), credits: 0))
            }
        }
        let path = "/v1/subjects/\(mark)%40example.com"
        let act = AuditAct(
            actor: ByteString("token:\(person)"), role: "admin", address: "unix", method: "PUT",
            route: "/v1/subjects/{id}", path: path, before: Array(#"{"id":"\#(person)"}"#.utf8))
        let id = try await queries.beginAct(act)
        try await queries.endAct(
            id, status: 200, after: Array(#"{"email":"\#(mark.uppercased())@Example.com"}"#.utf8))
        var other = act
        (other.actor, other.path) = (ByteString("operator"), "/v1/subjects/bob")
        other.before = Array(#"{"id":"bob"}"#.utf8)
        _ = try await queries.beginAct(other)
        if number % 7 == 0 { _ = try await queries.series(sumQuery(bench, days: 2)) }
    }

    private static func sumQuery(_ bench: Bench, days: Int) -> SeriesQuery {
        let end = bench.engine.reader.today.number + 1
        return SeriesQuery(.tokens, .day, (end - days) * day..<end * day)
    }

    @Test func `Nothing names the person any more, and every sum stays`() async throws {
        try await withRedis(.appendOnly(fsync: "everysec")) { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let world = try await RestoreBench(redis, on: host.loop, clock: clock, hotDays: 3)
                try await Self.live(world, days: 40)
                let before = try await world.sums(days: 42)
                try await world.flushing.flush()
                #expect(try await world.verify().map { "\($0)" } == [])
                let people = try await world.bench.userCount()
                #expect(try await !world.bench.keysHolding(Self.texts).isEmpty)
                #expect(try !filesHolding(Self.texts, in: redis.folder).isEmpty)
                let used = try #require(
                    try await world.bench.engine.reader.subject(subjectID(Self.person)))

                let erasure = try await world.erase(Self.person)
                try await world.flushing.flush()
                #expect(
                    try filesHolding([erasure.id], in: world.flushing.data)
                        == ["rollups/default/state.json has \(erasure.id)"])
                let keys = try await world.bench.keysHolding(Self.texts)
                #expect(keys == [])
                #expect(try filesHolding(Self.texts, in: world.flushing.data) == [])
                #expect(try filesHolding(Self.texts, in: redis.folder) == [])
                #expect(try await world.verify().map { "\($0)" } == [])
                let after = try await world.sums(days: 42)
                #expect(after == before)
                #expect(try await world.bench.userCount() == people)

                #expect(erasure.isOf(subjectID(Self.person)) && !erasure.isOf(subjectID("bob")))
                #expect(erasure.appendOnlyFile == .rewritten)
                #expect(erasure.keptEventCount == used.eventCount)
                #expect(
                    erasure.kept.map { "\($0.meter.name) \($0.total)" }
                        == used.totals.filter { $0.total != 0 }.map {
                            "\($0.meter.name) \($0.total)"
                        })
                #expect(erasure.removed[.profiles] == 1 && erasure.removed[.poolKeys] == 2)
                #expect(erasure.removed[.alerts] == 2 && erasure.removed[.guests] == 1)
                #expect(erasure.removed[.grants] ?? 0 >= 2 && erasure.removed[.holds] == 41)
                #expect(erasure.removed[.auditEntries] == 41)
                #expect(erasure.removed[.notices] ?? 0 > 0 && erasure.removed[.accounts] ?? 0 > 0)
                let holder = try await world.queries.poolHolders([erasure.anonymous])[0]
                #expect(holder?.received == 2 && holder?.assigned == 0)
                #expect(
                    try await world.bench.engine.reader.subject(subjectID(Self.person)) == nil)
                try await Self.expectOthers(world)
                try await Self.expectRestores(world)
                await world.queries.stop()
            }
        }
    }

    /// What is not the person's is as it was.
    private static func expectOthers(_ world: RestoreBench) async throws {
        let bob = try await world.bench.told(of: "bob", page: 50)
        #expect(bob.first == "bob-40 bob 9" && bob.count > 30)
        #expect(
            await world.bench.record(
                event("bob", ["tokens": 9, "credits_micro": 50_000], id: "bob-40")
            )
            .code == "idempotency_key_reused")
        let page = try await world.queries.auditPage(AuditQuery(), limit: 1000, after: nil)
        #expect(page.entries.count == 82)
        #expect(
            page.entries.count { $0.act.path == "/v1/subjects/bob" && $0.act.before != nil } == 41)
        let alerts = try await world.queries.alerts()
        #expect(alerts.alerts.map(\.name) == ["all"])
        // An id of hers counts anew, and starts from nothing.
        let anew = await world.bench.record(event(person, ["tokens": 5], id: "\(mark)-40"))
        #expect(anew.total() == 5 && anew.counted != nil)
        let account = try await world.bench.engine.account(of: subjectID(person))
        #expect(account.totalConsumed == 0 && account.held == 0 && account.grants.isEmpty)
        #expect(try await world.verify().map { "\($0)" } == [])
    }

    /// The files bring nothing back.
    private static func expectRestores(_ world: RestoreBench) async throws {
        _ = try await world.erase(person)
        try await world.flushing.flush()
        let receipts = try await world.queries.erasures(offset: 0, limit: 5).map(\.id)
        _ = try await world.restore(isForced: true)
        #expect(receipts.count == 2)
        #expect(try await world.queries.erasures(offset: 0, limit: 5).map(\.id) == receipts)
        #expect(try await world.bench.keysHolding(texts) == [])
        #expect(try await world.verify().map { "\($0)" } == [])
    }

    @Test func `Nobody unknown is erased, and nobody twice`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                let queries = world.queries
                while await !queries.isReady { await world.rest() }
                let new = try await queries.anonymousID(for: subjectID("ann"))
                #expect(try await queries.erase(subjectID("ann"), as: new) == nil)
                _ = await world.bench.record([
                    event("ann", ["tokens": 4]), event("guest:1", ["tokens": 2]),
                    event("bob", ["tokens": 1]),
                ])
                let plan = try await queries.mergePlan(of: subjectID("guest:1"))
                _ = try await world.bench.engine.merge(plan, into: subjectID("bob"))
                await #expect(throws: EventRejection.self) {
                    _ = try await queries.erase(subjectID("guest:1"), as: new)
                }
                let erasure = try await world.erase("ann")
                #expect(erasure.appendOnlyFile == .off)
                #expect(try await queries.erase(subjectID("ann"), as: new) == nil)
                // Nobody acts for the anonymous one.
                let name = erasure.anonymous.id.text
                #expect(await world.bench.record(event(name)).code == "invalid_id")
                await #expect(throws: EventRejection.self) {
                    _ = try await world.bench.engine.decide(
                        Decision(.setAllowance, subject: subjectID(name), credits: 1))
                }
                let put = try await queries.putProfile(of: subjectID(name), try change("{}"))
                #expect(put.word == "invalid_id")
                let leaders = try await queries.leaderboard(
                    .tokens, .lifetime, limit: 9, after: nil)
                #expect(leaders.entries.map(\.subject.text) == [name, "bob"])
                #expect(leaders.entries.map(\.value) == [4, 3])
                #expect(try await queries.erasures(offset: 0, limit: 5).map(\.id) == [erasure.id])
                await queries.stop()
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4])
    func `Cut anywhere and gone on with, it comes to the same end`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let clock = ManualClock(noon)
                let world = try await RestoreBench(redis, on: host.loop, clock: clock, hotDays: 3)
                try await Self.live(world, days: 12)
                let before = try await world.sums(days: 14)
                let subject = subjectID(Self.person)
                let begun = try #require(
                    try await world.queries.erase(
                        subject, as: try await world.queries.anonymousID(for: subject)))
                await world.queries.stop()
                var cuts = 0
                while true {
                    // A process that dies anywhere: nothing it has asked for is waited for.
                    let next = await world.another()
                    let work = Task { () async -> String? in
                        _ = host
                        return await next.goOnErasing()
                    }
                    let patience = Int.random(in: 0...(3 + cuts * 4), using: &random)
                    for _ in 0..<patience { await host.loop.sleep(for: .milliseconds(1)) }
                    let isDone = try await next.erasure(begun.id)?.isDone ?? false
                    await next.stop()
                    _ = await work.value
                    // The leases of the dead end by themselves.
                    _ = try redis.request("DEL t1:{default}:lease:erase t1:{default}:lease:flush")
                    if isDone { break }
                    cuts += 1
                }
                #expect(cuts > 0)
                let last = await world.another()
                try await world.flushing.flush()
                #expect(
                    try filesHolding([begun.id], in: world.flushing.data)
                        == ["rollups/default/state.json has \(begun.id)"])
                let keys = try await world.bench.keysHolding(Self.texts)
                #expect(keys == [])
                #expect(try filesHolding(Self.texts, in: world.flushing.data) == [])
                #expect(try await last.differences(world.folder).map { "\($0)" } == [])
                let after = try await world.sums(days: 14, of: last)
                #expect(after == before)
                await last.stop()
            }
        }
    }

    /// What is counted while a person is erased.
    private final class Progress {
        var (sent, done) = (0, 0)
        var counted: [String: Int] = [:]
        var isOver = false
    }

    /// Who is counted every millisecond or two is held back for a moment.
    @Test(arguments: [1, 2], [20...120, 1...2])
    func `What comes meanwhile is counted, for whom it came`(
        seed: UInt64, pause: ClosedRange<Int>
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let world = try await RestoreBench(redis, on: host.loop, clock: clock, hotDays: 3)
                try await Self.live(world, days: 6)
                let subject = subjectID(Self.person)
                let bob = try await world.bench.engine.reader.subject(subjectID("bob"))
                let used = try #require(try await world.bench.engine.reader.subject(subject))
                let progress = Progress()
                let counting = Task { () async in
                    _ = host
                    var random = SeededGenerator(seed)
                    while !progress.isOver {
                        for name in [Self.person, "bob"] {
                            progress.sent += 1
                            world.bench.engine.record(
                                event(name, ["tokens": 1], id: "more-\(progress.sent)")
                            ) {
                                progress.counted[name, default: 0] += $0.counted == nil ? 0 : 1
                                #expect($0.counted != nil || name != "bob")
                                progress.done += 1
                            }
                        }
                        await host.loop.sleep(
                            for: .milliseconds(Int.random(in: pause, using: &random)))
                    }
                }
                let erasure = try await world.erase(Self.person)
                // Some come behind it, however fast it was.
                let enough = progress.sent + 4
                while progress.sent < enough { await host.loop.sleep(for: .milliseconds(1)) }
                progress.isOver = true
                _ = await counting.value
                while progress.done < progress.sent { await host.loop.sleep(for: .milliseconds(1)) }
                func tokens(_ id: SubjectID) async throws -> Int {
                    let usage = try await world.bench.engine.reader.subject(id)
                    return usage?.totals.first { $0.meter == .tokens }?.total ?? 0
                }
                let anew = try await tokens(subject)
                let kept = try await tokens(erasure.anonymous)
                let old = used.totals.first { $0.meter == .tokens }?.total ?? 0
                #expect(anew + kept == old + (progress.counted[Self.person] ?? 0))
                #expect(anew > 0)
                let bobOld = bob?.totals.first { $0.meter == .tokens }?.total ?? 0
                #expect(try await tokens(subjectID("bob")) == bobOld + progress.sent / 2)
                try await world.flushing.flush()
                #expect(try await world.verify().map { "\($0)" } == [])
                #expect(
                    try await world.bench.told(of: Self.person, page: 50).count == anew)
                await world.queries.stop()
            }
        }
    }

    @Test func `A guest of 200 days is merged, and the user of these days is erased`() async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let world = try await RestoreBench(redis, on: host.loop, clock: clock, hotDays: 3)
                while await !world.queries.isReady { await world.rest() }
                for number in 0..<200 {
                    let time = noon - number * Self.day
                    #expect(
                        await world.bench.record([
                            event("guest:1", ["tokens": 1 + number], at: time),
                            event("bob", ["tokens": 2], at: time + 1),
                        ]).allSatisfy { $0.counted != nil })
                }
                try await world.bench.closer.closeDays()
                for _ in 0..<3 {
                    try await world.flushing.flush()
                    clock.advance(700_000)
                }
                let before = try await world.sums(days: 201)
                #expect(try await world.mergeAll("guest:1", into: "ann") == 200)
                let ann = try #require(
                    try await world.bench.engine.reader.subject(subjectID("ann")))
                #expect(ann.eventCount == 200 && ann.totals.first?.total == 20_100)
                #expect(try await world.sums(days: 201) == before)
                try await world.flushing.flush()
                #expect(try await world.verify().map { "\($0)" } == [])
                let erasure = try await world.erase("ann")
                #expect(erasure.keptEventCount == 200 && erasure.removed[.days] == 200)
                #expect(try await world.sums(days: 201) == before)
                #expect(try await world.verify().map { "\($0)" } == [])
                #expect(try filesHolding([#""ann""#, "guest:1"], in: world.flushing.data) == [])
                await world.queries.stop()
            }
        }
    }
}
