// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ActivityRestoreTests {
    @Test func `Guests and first and last times come back from files, and are verified`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let history = try await RestoreBench(redis, on: host.loop, clock: clock)
                func count(_ subject: String, _ meter: String, daysAgo: Int) async {
                    let time = clock.now.milliseconds - daysAgo * RestoreBench.days
                    let outcome = await history.bench.record(event(subject, [meter: 1], at: time))
                    #expect(outcome.counted != nil)
                }
                for (subject, meter, daysAgo) in [
                    ("guest:1", "files_uploaded", 3), ("guest:1", "files_uploaded", 9),
                    ("guest:1", "files_downloaded", 1), ("ann", "api_calls", 0),
                    ("ann", "files_processed", 2), ("guest:2", "messages", 5),
                ] {
                    await count(subject, meter, daysAgo: daysAgo)
                }
                func told() async throws -> [String] {
                    let all = try await history.queries.activity()
                    var lines = ["\(all.userCount) \(all.guestCount) \(all.sums.filesProcessed)"]
                    for name in ["guest:1", "ann", "guest:2", "nobody"] {
                        let its = try await history.queries.activity(of: subjectID(name))
                        lines.append("\(name) \(its.filesUploaded) \(its.apiCalls) \(its.times)")
                    }
                    return lines
                }
                // Nothing was asked before: the flusher itself follows the log.
                try await history.flushing.flush()
                try redis.request("FLUSHALL")
                _ = try await history.restore()
                #expect(try await history.verify() == [])
                let restored = try await told()
                #expect(restored[0] == "1 2 1")
                let guest = try await history.queries.activity(of: subjectID("guest:1")).times
                #expect(guest.firstUpload?.milliseconds == noon - 9 * RestoreBench.days)
                #expect(guest.lastUpload?.milliseconds == noon - 3 * RestoreBench.days)
                #expect(guest.lastDownload?.milliseconds == noon - RestoreBench.days)
                #expect(guest.lastCall == nil)
                // Later events go on from there.
                await count("guest:1", "files_uploaded", daysAgo: 8)
                await count("guest:3", "api_calls", daysAgo: 1)
                let later = try await history.queries.activity(of: subjectID("guest:1"))
                #expect(later.times == guest && later.filesUploaded == 3)
                #expect(try await history.queries.activity().guestCount == 3)
                try await history.flushing.flush()
                try redis.request("HDEL t1:{default}:activity ann")
                let found = try await history.verify().map { "\($0)" }
                #expect(found.count == 1 && found[0].contains("ann"), "\(found)")
            }
        }
    }

    @Test func `A guest who was erased is one of the guests, also after a restore`() async throws {
        try await withHistory { _, redis, history in
            let named = ["guest:1", "guest:2", "ann", "ben"]
            for name in named { _ = await history.bench.record(event(name, ["tokens": 1])) }
            func counts() async throws -> [Int] {
                let all = try await history.queries.activity()
                return [all.userCount, all.guestCount]
            }
            #expect(try await counts() == [2, 2])
            // The follower has not yet seen what is counted and erased here.
            _ = await history.bench.record(event("guest:3", ["tokens": 1]))
            for name in ["guest:1", "guest:3", "ann"] { try await history.erase(name) }
            #expect(try await counts() == [2, 3])
            #expect(try await history.queries.creditCharges(days: 7).warnings == [])
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
            try redis.request("FLUSHALL")
            _ = try await history.restore()
            #expect(try await counts() == [2, 3])
            // A restore brings no single events.
            let warnings = try await history.queries.creditCharges(days: 7).warnings
            #expect(warnings.count == 1 && warnings[0].contains("before the restore of"))
            #expect(try await history.verify() == [])
        }
    }
}
