// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// A row of an import.
public struct ProfileRow: Sendable {
    public let subject: SubjectID
    public let change: ProfileChange

    public init(subject: SubjectID, change: ProfileChange) {
        self.subject = subject
        self.change = change
    }
}

/// What became of one row.
public enum ProfileResult: Sendable {
    case created(Profile)
    case updated(Profile)
    /// It said what was known already.
    case unchanged(Profile)
    case rejected(EventRejection)
}

/// Writes profiles with all that they are found by. On its loop's thread only.
final class ProfileWriter {
    /// Profiles per script call: less than a millisecond of Redis.
    static let sliceCount = 25
    /// How often a profile is read again that others change, too.
    private static let triesMax = 20

    private let client: RedisClient
    private let keys: Keyspace
    private let clock: any Clock
    private let reader: ProfileReader
    private let packer = MessagePackWriter()

    init(client: RedisClient, keys: Keyspace, clock: any Clock) {
        self.client = client
        self.keys = keys
        self.clock = clock
        reader = ProfileReader(client: client, keys: keys)
    }

    /// What stands in a row's place, and what is to stand there; empty for nothing.
    struct Step {
        let subject: SubjectID
        let from: [UInt8]
        let to: [UInt8]
    }

    /// The keys of lua/write_people.lua, but for that of a restore.
    static func names(_ keys: Keyspace) -> [[UInt8]] {
        [keys.people, keys.emails, keys.phones]
            + [ProfileOrder.id, .email, .username, .createdAt].map { keys.people(by: $0) }
            + [keys.demo, keys.registered, keys.changes, keys.merged]
    }

    static func arguments(_ steps: [Step], _ packer: MessagePackWriter) -> [UInt8] {
        packer.array(3 * steps.count)
        for step in steps {
            packer.string(step.subject.id.bytes)
            packer.string(step.from)
            packer.string(step.to)
        }
        return packer.take()
    }

    /// Changes or creates profiles, in their order, each for itself.
    ///
    /// - Parameters:
    ///   - isNew: whether fields that are not named lose what they have.
    ///   - mayCreate: if not, subjects without a profile are rejected.
    ///   - mayReplace: if not, subjects with a profile are rejected.
    func write(
        _ rows: [ProfileRow], isNew: Bool = false, mayCreate: Bool = true, mayReplace: Bool = true
    ) async throws(MeteringError) -> [ProfileResult] {
        var results: [ProfileResult] = []
        var start = 0
        while start < rows.count {
            // A subject that comes again is to find what its row before has made.
            var seen: Set<SubjectID> = []
            var end = start
            while end < rows.count, end - start < Self.sliceCount,
                seen.insert(rows[end].subject).inserted
            {
                end += 1
            }
            results += try await write(
                slice: rows[start..<end], isNew, mayCreate, mayReplace)
            start = end
        }
        return results
    }

    private func write(
        slice rows: ArraySlice<ProfileRow>, _ isNew: Bool, _ mayCreate: Bool, _ mayReplace: Bool
    ) async throws(MeteringError) -> [ProfileResult] {
        var results: [Int: ProfileResult] = [:]
        for _ in 0..<Self.triesMax {
            let open = rows.indices.filter { results[$0] == nil }
            if open.isEmpty { break }
            let known = try await reader.packed(open.map { rows[$0].subject })
            var steps: [(index: Int, step: Step, result: ProfileResult)] = []
            for (index, packed) in zip(open, known) {
                let row = rows[index]
                let old = try packed.map { (bytes) throws(MeteringError) in
                    try ProfileReader.profile(row.subject, bytes)
                }
                guard old != nil || mayCreate else {
                    results[index] = .rejected(.noProfile)
                    continue
                }
                guard old == nil || mayReplace else {
                    results[index] = .rejected(.profileExists)
                    continue
                }
                let result = outcome(row, old, isNew)
                guard case .created(let profile) = result else {
                    guard case .updated(let profile) = result else {
                        results[index] = result
                        continue
                    }
                    steps.append((index, step(profile, from: packed), result))
                    continue
                }
                steps.append((index, step(profile, from: nil), result))
            }
            guard !steps.isEmpty else { continue }
            for (told, (index, _, result)) in zip(try await run(steps.map(\.step)), steps) {
                switch told {
                case "ok": results[index] = result
                case "merged": results[index] = .rejected(.guestMerged)
                case "email": results[index] = .rejected(.taken("email"))
                case "phone": results[index] = .rejected(.taken("phone"))
                case "demo": results[index] = .rejected(.tooManyDemos)
                default: break
                }
            }
        }
        return try rows.indices.map { (index) throws(MeteringError) in
            guard let result = results[index] else { throw .unavailable(.overloaded) }
            return result
        }
    }

    private func step(_ profile: Profile, from old: [UInt8]?) -> Step {
        Step(subject: profile.subject, from: old ?? [], to: profile.pack(packer))
    }

    private func outcome(_ row: ProfileRow, _ old: Profile?, _ isNew: Bool) -> ProfileResult {
        let now = clock.now
        if row.subject.isErased { return .rejected(.reservedID) }
        do throws(EventRejection) {
            guard let old else {
                return .created(try row.change.applied(to: nil, of: row.subject, at: now))
            }
            var base = old
            if isNew {
                base = Profile(row.subject, at: now)
                (base.createdAt, base.updatedAt) = (old.createdAt, old.updatedAt)
            }
            var profile = try row.change.applied(to: base, of: row.subject, at: now)
            // Compared with what is there, not with what was emptied for it.
            profile.updatedAt = old.updatedAt
            if profile == old { return .unchanged(old) }
            profile.updatedAt = now
            return .updated(profile)
        } catch {
            return .rejected(error)
        }
    }

    /// Removes a profile; whether there was one.
    func remove(_ subject: SubjectID) async throws(MeteringError) -> Bool {
        for _ in 0..<Self.triesMax {
            guard let packed = try await reader.packed([subject])[0] else { return false }
            let told = try await run([Step(subject: subject, from: packed, to: [])])
            if told == ["ok"] { return true }
        }
        throw .unavailable(.overloaded)
    }

    private func run(_ steps: [Step]) async throws(MeteringError) -> [String] {
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.writePeople, keys: Self.names(keys),
                arguments: [[], Self.arguments(steps, packer)])
        } catch {
            throw .unavailable(error)
        }
        let told = reply.elements?.compactMap(\.text) ?? []
        guard told.count == steps.count else { throw .damaged(what: "profiles") }
        return told
    }
}

extension EventRejection {
    static let noProfile = EventRejection(
        status: 404, code: "not_found", field: "", detail: "there is no profile of this subject")

    static let guestMerged = EventRejection(
        status: 409, code: "guest_merged", field: "",
        detail: "the guest has become a user, with all that it used")

    fileprivate static let profileExists = EventRejection(
        status: 412, code: "precondition_failed", field: "",
        detail: "there is a profile of this subject; nothing was changed")

    fileprivate static let tooManyDemos = EventRejection(
        status: 422, code: "too_many_demo_subjects", field: "demo",
        detail: "a workspace has at most 1,000 subjects in demo mode")

    fileprivate static func taken(_ field: String) -> Self {
        Self(
            status: 409, code: "\(field)_taken", field: field,
            detail: "another subject of the workspace has it")
    }
}
