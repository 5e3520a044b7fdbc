// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies what profiles are found by, and who is in demo mode or registered, against the profiles.
struct PeopleVerifier {
    /// Of a profile what the lists are made from.
    private struct Places {
        let profile: Profile
        let usernameKey: [UInt8]
        let emailKey: [UInt8]
        let phoneKey: [UInt8]

        init?(_ id: [UInt8], _ packed: [UInt8]) {
            guard let profile = Profile(SubjectID(stored: ByteString(bytes: id)), packed: packed),
                let fields = MessagePackValue(packed)?.array,
                let username = fields[7].bytes, let email = fields[9].bytes,
                let phone = fields[11].bytes
            else { return nil }
            self.profile = profile
            // As they were made when the profile was written, by the Unicode of then.
            (usernameKey, emailKey, phoneKey) = (username, email, phone)
        }
    }

    /// Makes every time that can be written one above 0: lua/include/profile_fields.lua.
    private static let createdOffsetMS = 63_000_000_000_000
    private static let timeByteCount = 7

    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ context: VerifyContext) { self.context = context }

    func run() async throws {
        try await context.settled { try await self.missing(try await self.erasedDemo().anonymous) }
        let verifier = IndexVerifier(
            context: context, noun: "profile", records: keys.people, read: Places.init)
        try await verifier.run(
            [
                named("people:emails", keys.emails) { $0.emailKey },
                named("people:phones", keys.phones) { $0.phoneKey },
                set("people:demo", keys.demo, others: { try await self.erasedDemo().all }) {
                    $0.profile.isDemo
                },
                set("people:registered", keys.registered) {
                    $0.profile.isActive && $0.profile.kind == .user
                },
            ] + ProfileOrder.allCases.map(ordered))
    }

    private func named(
        _ name: String, _ key: [UInt8], _ text: @escaping (Places) -> [UInt8]
    ) -> RecordIndex<Places> {
        RecordIndex(name: name, key: key, kind: .hash, owner: { $1 }) { id, places in
            let text = text(places)
            return text.isEmpty ? nil : (text, .bytes(id))
        }
    }

    private func set(
        _ name: String, _ key: [UInt8], others: @escaping () async throws -> Set<[UInt8]> = { [] },
        _ isMember: @escaping (Places) -> Bool
    ) -> RecordIndex<Places> {
        RecordIndex(
            name: name, key: key, kind: .set, others: others, owner: { member, _ in member }
        ) { isMember($1) ? ($0, .any) : nil }
    }

    // MARK: Erased ones

    /// Who is in demo mode without a profile: anonymous subjects of those who were, and who is being erased.
    private func erasedDemo() async throws -> (anonymous: [[UInt8]], all: Set<[UInt8]>) {
        var anonymous: [[UInt8]] = []
        var all: Set<[UInt8]> = []
        try await context.each(keys.erasures, by: 200) { ids in
            for (id, packed) in zip(ids, try await context.hash.values(keys.erasures, of: ids)) {
                let id = String(decoding: id, as: UTF8.self)
                guard let erasure = packed.flatMap({ Erasure(id, packed: $0) }), erasure.isDemo
                else { continue }
                all.formUnion(erasure.names.map(\.bytes) + [erasure.anonymous.id.bytes])
                if erasure.hasTakenOut { anonymous.append(erasure.anonymous.id.bytes) }
            }
        }
        return (anonymous, all)
    }

    private func missing(_ anonymous: [[UInt8]]) async throws -> [Difference] {
        guard !anonymous.isEmpty else { return [] }
        let reply = try await context.send(RedisCommand("SMISMEMBER", [keys.demo] + anonymous))
        return zip(anonymous, reply.elements ?? []).filter { $1.integer != 1 }.map { id, _ in
            Difference(
                ByteString(bytes: id).text, "its place in people:demo", expected: "it",
                found: "nothing of it")
        }
    }

    private func ordered(by order: ProfileOrder) -> RecordIndex<Places> {
        func prefix(_ places: Places) -> [UInt8] {
            switch order {
            case .id: []
            case .email: places.emailKey + [0]
            case .username: places.usernameKey + [0]
            case .createdAt:
                (places.profile.createdAt.milliseconds + Self.createdOffsetMS).bigEndianBytes(
                    Self.timeByteCount)
            }
        }
        func subject(_ member: [UInt8]) -> [UInt8] {
            switch order {
            case .id: member
            case .email, .username: Array(member.drop { $0 != 0 }.dropFirst())
            case .createdAt: Array(member.dropFirst(Self.timeByteCount))
            }
        }
        return RecordIndex(
            name: "people:by:\(order.rawValue)", key: keys.people(by: order), kind: .sortedSet,
            owner: { member, _ in subject(member) }
        ) { (prefix($1) + $0, .score(0)) }
    }
}

extension Int {
    /// The last bytes of it, the highest first, as `struct.pack` of scripts writes them.
    func bigEndianBytes(_ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: self >> (8 * $0)) }
    }
}
