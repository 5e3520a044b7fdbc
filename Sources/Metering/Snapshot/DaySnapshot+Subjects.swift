// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension DaySnapshot {
    private static let scanCount = Array("400".utf8)

    /// The subjects that may have used something on the day, in order. Nothing is lost between the
    /// two scans: a subject leaves its record for `use`, and never the other way. Guests who have become
    /// users since the cut may be in neither any more: the log tells of them.
    func subjects(
        from lower: [UInt8], _ tail: DayTail
    ) async throws(FlushError) -> SubjectList {
        var list = SubjectList(from: lower, byteCountMax: context.idByteCountMax)
        let number = day.number
        if !isClosed {
            try await scan(keys.subjects) { id, record in
                guard let day = PackedCursor.day(ofRecord: record) else { return false }
                if day == number { list.add(id) }
                return true
            }
        }
        try await scan(keys.use(day)) { id, _ in
            list.add(id)
            return true
        }
        _ = try await entries(of: [], tail)
        for (id, sums) in tail.subjects where sums.events < 0 { list.add(id.bytes) }
        list.sort()
        return list
    }

    private func scan(
        _ key: [UInt8], _ body: ([UInt8], [UInt8]) -> Bool
    ) async throws(FlushError) {
        var cursor = Array("0".utf8)
        repeat {
            let reply: RedisValue
            do {
                reply = try await context.client.send(
                    RedisCommand("HSCAN", [key, cursor, Array("COUNT".utf8), Self.scanCount]))
            } catch {
                throw .redis(error)
            }
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements
            else { throw .redis(.unexpectedReply("HSCAN")) }
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                guard let id = pairs[index].bytes, let value = pairs[index + 1].bytes,
                    body(id, value)
                else { throw .damaged("a subject's record") }
            }
            try await context.checkpoint()
            cursor = next
        } while cursor != Array("0".utf8)
    }

    /// What Redis has of some subjects, with the tail brought to it.
    func entries(
        of ids: [[UInt8]], _ tail: DayTail
    ) async throws(FlushError) -> (records: [RedisValue], uses: [RedisValue]) {
        packer.array(3)
        packer.integer(day.number)
        packer.integer(tail.changes)
        packer.array(ids.count)
        for id in ids { packer.string(id) }
        let reply = try await run(
            ScriptLibrary.readSubjects, [keys.subjects, keys.use(day), keys.changes] + logs)
        guard reply.count == 4, let records = reply[2].elements, let uses = reply[3].elements,
            records.count == ids.count, uses.count == ids.count
        else { throw .redis(.unexpectedReply("read_subjects")) }
        try await tail.follow(reply.prefix(2))
        return (records, uses)
    }
}
