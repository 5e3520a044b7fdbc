// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ProfileLoadTests {
    private static let count = 100_000

    private static func id(_ index: Int) -> String { "subject-\(index)" }

    private static func row(_ index: Int) throws -> ProfileRow {
        let json =
            #"{"email":"person\#(index)@example.com","phone":"+84\#(1_000_000 + index)","username":"name\#(index % 977)"}"#
        return ProfileRow(subject: subjectID(id(index)), change: try change(json))
    }

    @Test func `A hundred thousand are imported, and listed by pages while they change`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                for start in stride(from: 0, to: Self.count, by: 10_000) {
                    let rows = try (start..<start + 10_000).map { try Self.row($0) }
                    let results = try await bench.queries.importProfiles(rows)
                    #expect(results.allSatisfy { $0.word == "created" })
                }
                for order in [ProfileOrder.id, .createdAt, .username] {
                    try await Self.list(bench, order, host.loop)
                }
                var filter = ProfileFilter()
                filter.email = "PERSON77777@example.com"
                let found = try await bench.queries.profiles(filter, limit: 10).profiles
                #expect(found.map(\.subject.id.text) == [Self.id(77_777)])
                // A filter that nothing passes ends all the same.
                filter = ProfileFilter()
                filter.text = "nobody is called so"
                #expect(try await bench.queries.all(filter).isEmpty)
            }
        }
    }

    /// Those that nobody touches are told once each, whatever happens to others meanwhile.
    private static func list(
        _ bench: Bench, _ order: ProfileOrder, _ loop: EventLoop
    ) async throws {
        var random = SeededGenerator(7)
        var seen: [String: Int] = [:]
        var cursor: ProfileCursor?
        var pages = 0
        repeat {
            let page = try await bench.queries.profiles(by: order, limit: 1000, after: cursor)
            for profile in page.profiles { seen[profile.subject.id.text, default: 0] += 1 }
            cursor = page.next
            pages += 1
            // Every tenth may be removed, come again, or change what it is not listed by.
            for _ in 0..<20 {
                let index = Int.random(in: 0..<count / 10, using: &random) * 10
                if Bool.random(using: &random) {
                    _ = try await bench.queries.removeProfile(of: subjectID(id(index)))
                } else {
                    _ = try await bench.queries.importProfiles([try row(index)])
                }
            }
            let other = Int.random(in: 0..<count / 10, using: &random) * 10 + 1
            try await bench.queries.put(
                id(other), #"{"username":"name\#(other % 977)","full_name":"Changed"}"#)
        } while cursor != nil
        #expect(pages >= count / 1000)
        for index in 0..<count where index % 10 != 0 {
            let times = seen[id(index)] ?? 0
            if times != 1 { Issue.record("\(id(index)) was told \(times) times by \(order)") }
        }
        // Who was removed and came again behind the cursor is new there; no others come twice.
        if order == .id { #expect(seen.values.allSatisfy { $0 == 1 }) }
    }
}
