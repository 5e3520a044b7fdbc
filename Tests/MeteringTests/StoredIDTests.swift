// SPDX-License-Identifier: Apache-2.0

import JSON
import Redis
import TestSupport
import Testing

@testable import Metering

/// `.` and `..` were ids once: whatever is stored under them stays.
@Suite(.timeLimit(.minutes(15))) struct StoredIDTests {
    private static let old = SubjectID(stored: ByteString(".."))

    @Test func `What was counted for a dot segment is restored as it was`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let history = try await RestoreBench(redis, on: host.loop, clock: clock)
                let engine = history.bench.engine
                var used = event("x", ["tokens": 5], id: "..")
                used.subject = Self.old
                _ = await history.bench.record([used, event("a", ["tokens": 3])])
                let grant = Decision(
                    .grant(id: ByteString("."), expires: nil, priority: 0), subject: Self.old,
                    credits: 7_000_000)
                #expect(try await engine.decide(grant).status == .allowed)
                let hold = Decision(
                    .openHold(id: ByteString(".."), seconds: 600), subject: Self.old, credits: 1_000
                )
                #expect(try await engine.decide(hold).status == .allowed)
                _ = try await history.queries.putProfile(
                    of: Self.old, try change(#"{"full_name":"Dot"}"#))
                func reading() async throws -> String {
                    let usage = try await engine.reader.subject(Self.old)
                    let account = try await engine.account(of: Self.old)
                    let profile = try await engine.reader.profile(of: Self.old)
                    let open = try await engine.accounts.hold(ByteString(".."))
                    return "\(usage?.eventCount ?? 0) \(account.balance) \(account.held) "
                        + "\(profile?.fullName.text ?? "") \(open?.subject.id.text ?? "")"
                }
                let before = try await reading()
                #expect(before == "1 7000000 1000 Dot ..")
                try await history.flushing.flush()
                #expect(try await history.verify() == [])
                try redis.request("FLUSHALL")
                _ = try await history.restore()
                #expect(try await reading() == before)
                #expect(try await history.verify() == [])
            }
        }
    }

    @Test func `Alerts and cursors of a dot segment are read as they are stored`() throws {
        let reader = try JSONReader()
        let stored =
            #"{"alerts":[{"name":"n","on":{"balance":true},"percent":[50],"subject":"..","#
            + #""to":{"email":"a@x.org"},"id":1}],"next_id":2}"#
        #expect(try AlertBook(stored: try reader.read(stored)).alerts.first?.subject == Self.old)
        let sent = stored.replacing(#","id":1}],"next_id":2"#, with: "}]")
        #expect(throws: EventRejection.self) { try AlertBook.Draft(try reader.read(sent)) }
        let page = LeaderboardCursor(value: 1, subject: Self.old.id)
        #expect(LeaderboardCursor(page.text)?.subject == Self.old.id)
        #expect(SubjectID(existing: "..") == Self.old && SubjectID(existing: "\n") == nil)
    }
}
