// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Finds and lists profiles. On its loop's thread only.
final class ProfileReader {
    /// Profiles per script call: less than a millisecond of Redis.
    static let sliceCount = 200
    /// A bound on the work of one page: a filter may let few of them pass.
    static let sliceCountMax = 100

    private let client: RedisClient
    private let keys: Keyspace

    init(client: RedisClient, keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// Who subjects are, in their order; nil for those without a profile.
    func profiles(of subjects: [SubjectID]) async throws(MeteringError) -> [Profile?] {
        guard !subjects.isEmpty else { return [] }
        let values = try await packed(subjects)
        var profiles: [Profile?] = []
        for (subject, value) in zip(subjects, values) {
            profiles.append(
                try value.map { (bytes) throws(MeteringError) in
                    try Self.profile(subject, bytes)
                })
        }
        return profiles
    }

    /// As Redis keeps them.
    func packed(_ subjects: [SubjectID]) async throws(MeteringError) -> [[UInt8]?] {
        let reply = try await send(
            RedisCommand("HMGET", [keys.people] + subjects.map(\.id.bytes)))
        guard let values = reply.elements, values.count == subjects.count else {
            throw .damaged(what: "profiles")
        }
        return values.map(\.bytes)
    }

    static func profile(_ subject: SubjectID, _ packed: [UInt8]) throws(MeteringError) -> Profile {
        guard let profile = Profile(subject, packed: packed) else {
            throw .damaged(what: "a profile")
        }
        return profile
    }

    /// Profiles in an order, behind a cursor.
    ///
    /// - Parameter limit: 1 or more.
    func page(
        _ filter: ProfileFilter, by order: ProfileOrder, isDescending: Bool = false, limit: Int,
        after cursor: ProfileCursor?
    ) async throws(MeteringError) -> ProfilePage {
        if filter.email != nil || filter.phone != nil { return try await found(filter) }
        let isWanted = filter.test()
        var profiles: [Profile] = []
        var after = cursor?.member ?? []
        var place: ProfileCursor { ProfileCursor(order, isDescending: isDescending, after) }
        for _ in 0..<Self.sliceCountMax {
            let slice = try await slice(
                order, isDescending, after, withTimes: filter.inactiveSince != nil)
            for entry in slice {
                // Removed between two calls of a script that is one step: it cannot be.
                guard let profile = entry.profile else {
                    throw .damaged(what: "a list of profiles")
                }
                guard isWanted(profile, entry.last) else { continue }
                if profiles.count == limit {
                    return ProfilePage(profiles: profiles, next: place)
                }
                profiles.append(profile)
                after = entry.member
            }
            guard slice.count == Self.sliceCount, let last = slice.last else {
                return ProfilePage(profiles: profiles, next: nil)
            }
            after = last.member
            if profiles.count == limit { break }
        }
        return ProfilePage(profiles: profiles, next: place)
    }

    private struct Entry {
        let member: [UInt8]
        let profile: Profile?
        let last: Int
    }

    private func slice(
        _ order: ProfileOrder, _ isDescending: Bool, _ after: [UInt8], withTimes: Bool
    ) async throws(MeteringError) -> [Entry] {
        var names = [keys.people(by: order), keys.people]
        if withTimes { names.append(keys.subjects) }
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.listPeople, keys: names,
                arguments: [
                    after, Array("\(Self.sliceCount)".utf8), Array(order.rule.utf8),
                    Array((isDescending ? "down" : "up").utf8),
                ])
        } catch {
            throw .unavailable(error)
        }
        guard let values = reply.elements, values.count % 4 == 0 else {
            throw .damaged(what: "a list of profiles")
        }
        var entries: [Entry] = []
        for index in stride(from: 0, to: values.count, by: 4) {
            guard let member = values[index].bytes, let subject = values[index + 1].bytes,
                let packed = values[index + 2].bytes, let last = values[index + 3].text
            else { throw .damaged(what: "a list of profiles") }
            let id = SubjectID(stored: ByteString(bytes: subject))
            entries.append(
                Entry(
                    member: member, profile: Profile(id, packed: packed), last: Int(last) ?? 0))
        }
        return entries
    }

    /// The one of an e-mail or phone number, if the filter lets it pass.
    private func found(_ filter: ProfileFilter) async throws(MeteringError) -> ProfilePage {
        let (key, name) =
            if let email = filter.email {
                (keys.emails, Profile.folded(ByteString(email)))
            } else {
                (keys.phones, Profile.phoneKey(ByteString(filter.phone ?? "")))
            }
        let none = ProfilePage(profiles: [], next: nil)
        guard let bytes = try await send(RedisCommand("HGET", [key, name.bytes])).bytes else {
            return none
        }
        let subject = SubjectID(stored: ByteString(bytes: bytes))
        var last = 0
        if filter.inactiveSince != nil,
            let record = try await send(RedisCommand("HGET", [keys.subjects, bytes])).bytes
        {
            guard let record = SubjectRecord(record) else {
                throw .damaged(what: "a subject's record")
            }
            last = record.last.milliseconds
        }
        // It may have been given to somebody else meanwhile: the filter compares it once more.
        guard let profile = try await profiles(of: [subject])[0], filter.test()(profile, last)
        else { return none }
        return ProfilePage(profiles: [profile], next: nil)
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
