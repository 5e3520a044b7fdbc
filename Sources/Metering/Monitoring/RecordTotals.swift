// SPDX-License-Identifier: Apache-2.0
//
// A subject's record tells its last event and what it used in all, so that one walk over the records
// counts exactly who had an event since any instant, whatever has left Redis since.

internal import Redis

/// What all subjects have used in all, without those in demo mode.
struct RecordTotals {
    /// Subjects with an event since the instant that was asked for.
    var activeCount = 0
    var eventCount = 0
    /// Micro-credits.
    var credits = 0

    /// Records per script call: about half a millisecond of Redis.
    private static let sliceCount = Array("100".utf8)

    /// Adds the records up. O(subjects), in slices.
    ///
    /// Subjects are only ever added to the hash, save when they are erased, and HSCAN gives what
    /// stays in a table that grows exactly once.
    ///
    /// - Throws: `EventRejection` when a sum is past 2^53 − 1; `MeteringError`.
    static func read(
        _ client: RedisClient, _ keys: Keyspace, since: Timestamp, without demo: DemoSubjects
    ) async throws -> RecordTotals {
        var totals = RecordTotals()
        var cursor = Array("0".utf8)
        let credits = Meter.creditsMicro
        repeat {
            let reply: RedisValue
            do {
                reply = try await client.run(
                    ScriptLibrary.scanRecords, keys: [keys.subjects, keys.merged],
                    arguments: [
                        cursor, sliceCount, Array("\(since.milliseconds)".utf8),
                        Array("\(credits.code ?? 0)".utf8),
                    ])
            } catch {
                throw MeteringError.unavailable(error)
            }
            guard let parts = reply.elements, parts.count == 4, let next = parts[0].bytes,
                let active = parts[1].integer, let events = parts[2].integer,
                let sum = parts[3].integer
            else { throw MeteringError.damaged(what: "the subjects' records") }
            totals.activeCount += active
            totals.eventCount = try exactSum(totals.eventCount, events)
            totals.credits = try exactSum(totals.credits, sum)
            cursor = next
        } while cursor != Array("0".utf8)
        for (_, record) in demo.records {
            if record.last >= since { totals.activeCount -= 1 }
            totals.eventCount -= record.eventCount
            totals.credits -= record.meters.first { $0.meter == credits }?.total ?? 0
        }
        return totals
    }
}

/// - Throws: 422 `counter_overflow` for what cannot be told exactly.
func exactSum(_ left: Int, _ right: Int) throws(EventRejection) -> Int {
    let (sum, overflows) = left.addingReportingOverflow(right)
    guard !overflows, sum.magnitude <= EventBatch.exactIntegerMax else { throw .sumOverflow }
    return sum
}
