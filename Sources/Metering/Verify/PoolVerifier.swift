// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies the lists of pools, and the sums over what holders hold, against the keys of the pools.
struct PoolVerifier {
    private static let keysPerCall = 200
    private static let holdersPerCall = 50
    private static let numberByteCount = 7

    /// What the lists are made from: a key, and the digest of its secret.
    private struct Row {
        let key: PoolKey
        let digest: [UInt8]

        init?(_ id: [UInt8], _ packed: [UInt8]) {
            guard let number = Int(String(decoding: id, as: UTF8.self)),
                let key = PoolKey(id: number, packed: packed, sealed: []),
                let digest = MessagePackValue(packed)?.array?.last?.bytes
            else { return nil }
            (self.key, self.digest) = (key, digest)
        }
    }

    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ context: VerifyContext) { self.context = context }

    func run() async throws {
        let providers = try await providers()
        try await verifyLastID()
        try await IndexVerifier(
            context: context, noun: "pool key", records: keys.poolKeys, read: Row.init
        ).run(providers.flatMap(lists) + lists)
        try await context.each(keys.poolHolders, by: Self.holdersPerCall) { subjects in
            for subject in subjects {
                try await self.context.settled { try await self.differences(ofHolder: subject) }
            }
        }
    }

    /// Those that have keys or a threshold.
    private func providers() async throws -> [PoolProvider] {
        var names: Set<[UInt8]> = []
        try await context.each(keys.poolProviders, by: Self.keysPerCall) { names.formUnion($0) }
        try await context.each(keys.poolKeys, by: Self.keysPerCall) { ids in
            let values = try await self.context.hash.values(self.keys.poolKeys, of: ids)
            for (id, value) in zip(ids, values) {
                guard let row = value.flatMap({ Row(id, $0) }) else { continue }
                names.insert(Array(row.key.provider.name.utf8))
            }
        }
        return names.map { PoolProvider(stored: String(decoding: $0, as: UTF8.self)) }
            .sorted { $0.name < $1.name }
    }

    /// New keys get ids behind the last: whoever imports takes them before.
    private func verifyLastID() async throws {
        var highest = 0
        try await context.each(keys.poolKeys, by: Self.keysPerCall) { ids in
            for id in ids { highest = max(highest, Int(String(decoding: id, as: UTF8.self)) ?? 0) }
        }
        let facts = try await context.hash.values(keys.pool, of: [Array("last_id".utf8)])
        let last = facts.first.flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) } ?? "0"
        if Int(last).map({ $0 < highest }) ?? true {
            context.report(
                Difference("pool", "last id", expected: "\(highest) or more", found: last))
        }
    }

    // MARK: Lists

    private func lists(of provider: PoolProvider) -> [RecordIndex<Row>] {
        let name = "pool:\(provider.name)"
        return [
            RecordIndex(
                name: "\(name):digests", key: keys.poolDigests(provider), kind: .hash,
                owner: { $1 }
            ) { $1.key.provider == provider ? ($1.digest, .bytes($0)) : nil },
            RecordIndex(
                name: "\(name):keys", key: keys.poolListed(provider), kind: .sortedSet,
                owner: { member, _ in member }
            ) { $1.key.provider == provider ? ($0, .score(Double($1.key.id))) : nil },
            RecordIndex(
                name: "\(name):free", key: keys.poolFree(provider), kind: .sortedSet,
                owner: { member, _ in Self.id(endOf: member) }
            ) { _, row in
                let key = row.key
                guard key.provider == provider, key.holder == nil, key.status == .active else {
                    return nil
                }
                let score = key.creditBalance.map { -Double($0) } ?? .infinity
                return (number(key.created.milliseconds) + number(key.id), .score(score))
            },
        ]
    }

    private var lists: [RecordIndex<Row>] {
        [
            RecordIndex(
                name: "pool:secrets", key: keys.poolSecrets, kind: .hash,
                owner: { member, _ in member }
            ) { id, _ in (id, .any) },
            RecordIndex(
                name: "pool:held", key: keys.poolHeld, kind: .sortedSet,
                owner: { member, _ in Self.id(endOf: member) }
            ) { _, row in
                row.key.holder.map { (of($0, row.key.provider) + number(row.key.id), .score(0)) }
            },
            RecordIndex(
                name: "pool:ready", key: keys.poolReady, kind: .sortedSet,
                owner: { member, _ in Self.id(endOf: member) }
            ) { _, row in
                guard let holder = row.key.holder, row.key.status == .active,
                    let balance = row.key.creditBalance
                else { return nil }
                let place =
                    [balance < 0 ? 0 : 1] + number(balance < 0 ? PoolKey.idMax + balance : balance)
                return (of(holder, row.key.provider) + place + number(row.key.id), .score(0))
            },
            RecordIndex(
                name: "pool:used", key: keys.poolUsed, kind: .sortedSet,
                owner: { member, _ in Self.id(endOf: member, isLastFirst: true) }
            ) { _, row in
                guard let holder = row.key.holder, let used = row.key.lastUsed else { return nil }
                let place = number(PoolKey.idMax - used.milliseconds)
                return (of(holder) + place + number(PoolKey.idMax - row.key.id), .score(0))
            },
            // One record for all keys of a holder: its sums are looked at by themselves.
            RecordIndex(name: "pool:holders", key: keys.poolHolders, kind: .hash, owner: nil) {
                _, row in row.key.holder.map { ($0.id.bytes, .any) }
            },
        ]
    }

    /// The start of a holder's members: lua/include/pool_members.lua.
    private func of(_ holder: SubjectID, _ provider: PoolProvider? = nil) -> [UInt8] {
        let start = holder.id.bytes.count.bigEndianBytes(2) + holder.id.bytes
        return provider.map { start + Array($0.name.utf8) + [0] } ?? start
    }

    private func number(_ value: Int) -> [UInt8] { value.bigEndianBytes(Self.numberByteCount) }

    private static func id(endOf member: [UInt8], isLastFirst: Bool = false) -> [UInt8] {
        let number = member.suffix(numberByteCount).reduce(0) { $0 << 8 | Int($1) }
        return Array("\(isLastFirst ? PoolKey.idMax - number : number)".utf8)
    }

    // MARK: Holders

    /// Sums over what a holder holds. What it was given ever is told by nothing else.
    private func differences(ofHolder subject: [UInt8]) async throws -> [Difference] {
        let name = "holder \(ByteString(bytes: subject).text)"
        let reply = try await context.hash.values(keys.poolHolders, of: [subject])
        guard let packed = reply.first.flatMap({ $0 }) else { return [] }
        guard let kept = PoolHolder(packed: packed, ready: 0) else {
            return [Difference(name, "record", expected: "a holder", found: "something else")]
        }
        var sums = PoolHolder()
        try await eachKey(heldBy: SubjectID(stored: ByteString(bytes: subject))) { key in
            sums.assigned += 1
            switch key.status {
            case .active: sums.active += 1
            case .dead: sums.dead += 1
            case .outOfCredit: sums.outOfCredit += 1
            }
            if key.lastUsed != nil { sums.used += 1 }
            if key.status == .active { sums.credits += key.creditBalance ?? 0 }
        }
        let pairs: [(String, Int, Int)] = [
            ("held", sums.assigned, kept.assigned), ("active", sums.active, kept.active),
            ("dead", sums.dead, kept.dead), ("out of credit", sums.outOfCredit, kept.outOfCredit),
            ("used", sums.used, kept.used), ("credits", sums.credits, kept.credits),
        ]
        return pairs.filter { $0.1 != $0.2 }.map {
            Difference(name, "\($0.0), by its keys", expected: $0.1, found: $0.2)
        }
    }

    private func eachKey(heldBy holder: SubjectID, _ body: (PoolKey) -> Void) async throws {
        let start = of(holder)
        var from = [UInt8(ascii: "[")] + start
        // No byte of a provider's name is as high.
        let until = [UInt8(ascii: "(")] + start + [0xFF]
        let limit = ["LIMIT", "0", "\(Self.keysPerCall)"].map { Array($0.utf8) }
        while true {
            let reply = try await context.send(
                RedisCommand("ZRANGEBYLEX", [keys.poolHeld, from, until] + limit))
            guard let members = reply.elements?.compactMap(\.bytes) else {
                throw RedisError.unexpectedReply("ZRANGEBYLEX")
            }
            let ids = members.map { Self.id(endOf: $0) }
            for (id, packed) in zip(ids, try await context.hash.values(keys.poolKeys, of: ids)) {
                // A member without its key is told with the lists.
                if let row = packed.flatMap({ Row(id, $0) }) { body(row.key) }
            }
            guard members.count == Self.keysPerCall, let last = members.last else { return }
            from = [UInt8(ascii: "(")] + last
        }
    }
}
