// SPDX-License-Identifier: Apache-2.0

/// An API key of an outside provider, as the pool keeps it.
public struct PoolKey: Sendable, Equatable {
    /// What is known of whether a key works. Raw values stand in Redis.
    public enum Status: Int, Sendable, CaseIterable {
        case active = 1
        case dead, outOfCredit

        public var name: StaticString {
            switch self {
            case .active: "active"
            case .dead: "dead"
            case .outOfCredit: "out_of_credit"
            }
        }

        /// Nil for a name that is none.
        public init?(name: some Sequence<UInt8>) {
            let name = String(decoding: Array(name), as: UTF8.self)
            guard let status = Self.allCases.first(where: { "\($0.name)" == name }) else {
                return nil
            }
            self = status
        }
    }

    /// 1 to 2^53 - 1, growing.
    public let id: Int
    public let provider: PoolProvider
    public let name: ByteString
    public let status: Status
    /// In the provider's units; nil: not checked yet.
    public let creditBalance: Int?
    public let holder: SubjectID?
    public let lastUsed: Timestamp?
    public let lastError: ByteString?
    public let created: Timestamp
    /// As it is kept: only `SecretBox` can read it.
    let sealedSecret: [UInt8]

    public static let idMax = EventBatch.exactIntegerMax

    /// Reads what scripts keep: `lua/include/pool_fields.lua`. Nil for anything else.
    init?(id: Int, packed: [UInt8], sealed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array, fields.count == 9,
            let provider = fields[0].bytes, let name = fields[1].bytes,
            let status = fields[2].integer.flatMap(Status.init), let holder = fields[4].bytes,
            let used = fields[5].integer, let error = fields[6].bytes,
            let created = fields[7].integer
        else { return nil }
        self.id = id
        self.provider = PoolProvider(stored: String(decoding: provider, as: UTF8.self))
        self.name = ByteString(bytes: name)
        self.status = status
        creditBalance = fields[3].integer
        self.holder = holder.isEmpty ? nil : SubjectID(stored: ByteString(bytes: holder))
        lastUsed = used == 0 ? nil : Timestamp(milliseconds: used)
        lastError = error.isEmpty ? nil : ByteString(bytes: error)
        self.created = Timestamp(milliseconds: created)
        sealedSecret = sealed
    }

    /// What a list may show of a secret: its last four characters, and none of a short one.
    static func mask(_ secret: [UInt8]) -> String {
        let text = String(decoding: secret, as: UTF8.self)
        return "****" + (text.count < 12 ? "" : text.suffix(4))
    }
}

/// A key with its secret, whole or masked.
public struct PoolKeyDetail: Sendable, Equatable {
    public let key: PoolKey
    /// Nil when this process cannot read it: see `SecretsKey`.
    public let secret: String?
}

/// Some keys of a provider, by id.
public struct PoolKeyPage: Sendable {
    public let keys: [PoolKeyDetail]
    /// The id behind which the next ones begin; nil when there are no more. A page may have few keys,
    /// or none, and a next one all the same: reading ends after a while, wherever it is.
    public let next: Int?
}

/// What a pool knows of a subject.
public struct PoolHolder: Sendable, Equatable {
    /// How many keys it was given, ever, and how many of those were used for the first time while it
    /// held them. They never decrease.
    public var received = 0
    public var firstUses = 0
    /// Keys that it holds now, by status.
    public var assigned = 0
    public var active = 0
    public var dead = 0
    public var outOfCredit = 0
    /// Of those that it holds now: used at least once, by whomever.
    public var used = 0
    /// Active with a known balance above the threshold of their provider.
    public var ready = 0
    /// The sum of the balances of the active ones, unknown ones as 0.
    public var credits = 0

    init() {}

    /// Reads what scripts keep; nil for anything else.
    init?(packed: [UInt8], ready: Int) {
        guard !packed.isEmpty else { return }
        guard let fields = MessagePackValue(packed)?.array?.compactMap(\.integer),
            fields.count == 8
        else { return nil }
        received = fields[0]
        firstUses = fields[1]
        assigned = fields[2]
        active = fields[3]
        dead = fields[4]
        outOfCredit = fields[5]
        used = fields[6]
        credits = fields[7]
        self.ready = ready
    }

    /// Of the keys that it was given, those that it used: `70.0%`; `0.0%` when it was given none.
    public var usageRate: String {
        guard received > 0 else { return "0.0%" }
        var (rate, rest) = (firstUses * 1000).quotientAndRemainder(dividingBy: received)
        if rest >= received - rest { rate += 1 }
        return "\(rate / 10).\(rate % 10)%"
    }

    /// Rounded to an integer, halves away from zero; 0 without active keys.
    public var creditsPerActiveKey: Int {
        guard active > 0 else { return 0 }
        let (average, rest) = credits.quotientAndRemainder(dividingBy: active)
        return average + (abs(rest) >= active - abs(rest) ? credits.signum() : 0)
    }
}
