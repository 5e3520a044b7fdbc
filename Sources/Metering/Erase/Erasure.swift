// SPDX-License-Identifier: Apache-2.0
//
// An erasure is a record in Redis from the moment it is asked for, so that whoever comes after a crash goes
// on with it. While it is under way it has to know whom it is about; afterwards a digest is left, by which
// who knows the id can tell that it was this one.

internal import Cryptography

/// What an erasure removed, counted. What a process had counted when it was killed in the midst of a step may
/// be missing, but for API keys, which are counted as they are revoked.
public enum ErasedPart: Int, Sendable, CaseIterable {
    case profiles
    case apiKeys
    case poolKeys
    /// Those that were merged into the subject.
    case guests
    case accounts
    case grants
    case holds
    case alerts
    case notices
    /// Single events of the log, which lost subject, id and description.
    case events
    /// On which the subject stood.
    case days
    /// Ids of events that were remembered.
    case eventIDs
    case auditEntries

    /// As answers name it.
    public var name: String {
        switch self {
        case .profiles: "profiles"
        case .apiKeys: "api_keys"
        case .poolKeys: "pool_keys"
        case .guests: "guests"
        case .accounts: "accounts"
        case .grants: "grants"
        case .holds: "holds"
        case .alerts: "alerts"
        case .notices: "notices"
        case .events: "events"
        case .days: "days"
        case .eventIDs: "event_ids"
        case .auditEntries: "audit_entries"
        }
    }
}

/// What became of the old commands in Redis's append-only file.
public enum AppendOnlyFile: Int, Sendable, CaseIterable {
    /// It is not that far.
    case pending
    case rewritten
    /// Redis keeps none.
    case off
    /// Redis does not let it be rewritten; the old commands stay until it rewrites the file by itself.
    case refused

    public var name: String? {
        switch self {
        case .pending: nil
        case .rewritten: "rewritten"
        case .off: "off"
        case .refused: "refused"
        }
    }
}

/// The erasure of a subject.
public struct Erasure: Sendable {
    /// In their order. A step is done once the next one is noted.
    enum Step: Int {
        /// Who it was: profile, alerts, keys.
        case person = 1
        /// What it used moves to the anonymous subject, and then it is gone.
        case usage
        /// The log, and what is made of it.
        case log
        case audit
        case files
        case appendOnlyFile
        case done
    }

    public let id: String
    var step = Step.person
    /// What it used is counted for this one.
    public let anonymous: SubjectID
    public let requestedAt: Timestamp
    /// When all was done; before that, when the subject was taken out; nil before that.
    var endedAt: Timestamp?
    public var erasedAt: Timestamp? { isDone && !isMerged ? endedAt : nil }
    /// SHA-256 of this id and the subject's, in hexadecimal.
    public let digest: String
    /// The subject, then its guests; empty when nothing has to be found by them any more.
    var names: [ByteString]
    /// What else tells who it was.
    var texts: [ByteString]
    /// Where the logs ended when it was taken out: what comes behind is of somebody new.
    var cut = LogEnds(floor: 0, numbers: [])
    public internal(set) var removed: [ErasedPart: Int] = [:]
    public internal(set) var keptEventCount = 0
    /// Lifetime totals of the anonymous subject, in the order of the meters' names.
    public internal(set) var kept: [(meter: Meter, total: Int)] = []
    /// Whether the subject was in demo mode: then the anonymous one is, too, and in no rank.
    var isDemo = false
    public internal(set) var appendOnlyFile = AppendOnlyFile.pending
    /// Why it does not go on at the moment; nil when it does.
    public internal(set) var problem: String?

    public var isDone: Bool { step == .done }
    /// Whether it has ended since its guest had become a user before it was taken out: what had not moved by
    /// then is the user's, and was not erased.
    public var isMerged: Bool { isDone && problem != nil }
    /// Whether what is counted under the name by now is somebody else's.
    var hasTakenOut: Bool { step.rawValue >= Step.log.rawValue }

    init(
        of subject: SubjectID, as anonymous: SubjectID, texts: [ByteString], at now: Timestamp
    ) {
        id = hexadecimal(randomBytes(8))
        self.anonymous = anonymous
        requestedAt = now
        digest = Self.digest(id, subject)
        names = [subject.id]
        self.texts = texts
    }

    /// An id for what a subject used that nothing links to it.
    static func makeAnonymous(for subject: SubjectID) -> SubjectID {
        let prefix =
            subject.kind == .guest ? SubjectID.erasedGuestPrefix : SubjectID.erasedPrefix
        return SubjectID(stored: ByteString(prefix + hexadecimal(randomBytes(8))))
    }

    private static func digest(_ id: String, _ subject: SubjectID) -> String {
        hexadecimal((Array(id.utf8) + subject.id.bytes).withUnsafeBytes { sha256($0) })
    }

    /// Whether it is the erasure of a subject.
    public func isOf(_ subject: SubjectID) -> Bool { digest == Self.digest(id, subject) }

    /// Whether it took its subject out before another one did. By the log, which no clock moves.
    func tookOut(before other: Erasure) -> Bool {
        guard cut == other.cut else { return cut.precedes(other.cut) }
        return (endedAt?.milliseconds ?? .max) < (other.endedAt?.milliseconds ?? .max)
    }

    /// Ends it for a guest who is a user by now.
    mutating func endMerged(at now: Timestamp) {
        (names, texts, step, endedAt) = ([], [], .done, now)
        problem = "the guest has become a user meanwhile: erase the user"
    }

    mutating func add(_ count: Int, to part: ErasedPart) { removed[part, default: 0] += count }
}

extension Erasure {
    /// As lua/include/erasure_fields.lua has it.
    func packed(_ writer: MessagePackWriter) -> [UInt8] {
        pack(writer)
        return writer.take()
    }

    /// Writes it behind what the writer has.
    func pack(_ writer: MessagePackWriter) {
        writer.array(14)
        writer.integer(step.rawValue)
        writer.string(anonymous.id.bytes)
        writer.integer(requestedAt.milliseconds)
        writer.integer(endedAt?.milliseconds ?? 0)
        writer.string(digest)
        writer.array(names.count)
        for name in names { writer.string(name.bytes) }
        writer.array(texts.count)
        for text in texts { writer.string(text.bytes) }
        writer.integers([cut.floor] + cut.numbers)
        writer.integers(ErasedPart.allCases.map { removed[$0] ?? 0 })
        writer.integer(keptEventCount)
        writer.array(2 * kept.count)
        for (meter, total) in kept {
            writer.string(meter.name)
            writer.integer(total)
        }
        writer.integer(appendOnlyFile.rawValue)
        writer.string(problem ?? "")
        writer.integer(isDemo ? 1 : 0)
    }

    /// Nil when it is damaged.
    init?(_ id: String, packed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array, fields.count >= 13,
            let step = fields[0].integer.flatMap({ Step(rawValue: $0) }),
            let anonymous = fields[1].bytes, let requested = fields[2].integer,
            let ended = fields[3].integer, let digest = fields[4].bytes,
            let names = Self.texts(fields[5]), let texts = Self.texts(fields[6]),
            let cut = fields[7].integers, let removed = fields[8].integers,
            let events = fields[9].integer, let kept = fields[10].array,
            let file = fields[11].integer.flatMap({ AppendOnlyFile(rawValue: $0) }),
            let problem = fields[12].bytes
        else { return nil }
        self.id = id
        self.step = step
        self.anonymous = SubjectID(stored: ByteString(bytes: anonymous))
        requestedAt = Timestamp(milliseconds: requested)
        endedAt = ended == 0 ? nil : Timestamp(milliseconds: ended)
        self.digest = String(decoding: digest, as: UTF8.self)
        (self.names, self.texts) = (names, texts)
        self.cut = LogEnds(floor: cut.first ?? 0, numbers: Array(cut.dropFirst()))
        for (part, count) in zip(ErasedPart.allCases, removed) { self.removed[part] = count }
        keptEventCount = events
        self.kept = stride(from: 0, to: kept.count - 1, by: 2).compactMap { place in
            kept[place].bytes.flatMap { Meter(name: $0) }.flatMap { meter in
                kept[place + 1].integer.map { (meter, $0) }
            }
        }
        appendOnlyFile = file
        // A version before this one has not noted it.
        isDemo = fields.count > 13 && fields[13].integer == 1
        self.problem = problem.isEmpty ? nil : String(decoding: problem, as: UTF8.self)
    }

    private static func texts(_ value: MessagePackValue) -> [ByteString]? {
        value.array?.compactMap { $0.bytes.map { ByteString(bytes: $0) } }
    }
}
