// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Who is in demo mode, and what was counted for them before they were.
struct DemoSubjects {
    private static let countPerRead = 200

    let ids: Set<ByteString>
    /// Of those who have one: mostly nobody has. What a guest had who was merged is a user's.
    let records: [(subject: SubjectID, record: SubjectRecord)]

    /// Those with an event as late as this.
    func active(since time: Timestamp) -> [SubjectID] {
        records.filter { $0.record.last >= time }.map(\.subject)
    }

    /// Reads them as they are now. O(subjects in demo mode), in small pieces.
    static func read(
        _ client: RedisClient, _ keys: Keyspace
    ) async throws(MeteringError) -> DemoSubjects {
        var ids: Set<ByteString> = []
        var cursor = Array("0".utf8)
        do {
            repeat {
                let reply = try await client.send(
                    RedisCommand("SSCAN", [keys.demo, cursor, Array("COUNT".utf8), count]))
                guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                    let members = parts[1].elements
                else { throw MeteringError.damaged(what: "the subjects in demo mode") }
                for member in members.compactMap(\.bytes) { ids.insert(ByteString(bytes: member)) }
                cursor = next
            } while cursor != Array("0".utf8)
            let listed = Array(ids)
            var records: [(subject: SubjectID, record: SubjectRecord)] = []
            for start in stride(from: 0, to: listed.count, by: countPerRead) {
                let slice = listed[start..<min(start + countPerRead, listed.count)]
                let replies = try await client.send(
                    [keys.subjects, keys.merged].map {
                        RedisCommand("HMGET", [$0] + slice.map(\.bytes))
                    }
                ).map { $0.elements ?? [] }
                guard replies.count == 2, replies.allSatisfy({ $0.count == slice.count }) else {
                    throw MeteringError.damaged(what: "the subjects in demo mode")
                }
                for (id, (value, user)) in zip(slice, zip(replies[0], replies[1])) {
                    guard user.bytes == nil, let bytes = value.bytes else { continue }
                    guard let record = SubjectRecord(bytes) else {
                        throw MeteringError.damaged(what: "a subject's record")
                    }
                    records.append((SubjectID(stored: id), record))
                }
            }
            return DemoSubjects(ids: ids, records: records)
        } catch let error as RedisError {
            throw .unavailable(error)
        } catch let error as MeteringError {
            throw error
        } catch {
            throw .damaged(what: "the subjects in demo mode: \(error)")
        }
    }

    private static let count = Array("\(countPerRead)".utf8)
}
