// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Redis

/// What a subject may still use, in short. Amounts are micro-credits.
public struct AccountSummary: Sendable {
    public let subject: ByteString
    /// What is left of the allowance and of all grants, with what is held.
    public let balance: Int
    public let held: Int
    public let monthlyAllowance: Int
    public let monthConsumed: Int
    public let totalConsumed: Int
    /// Nil while the subject has no credits.
    public let nextReset: Timestamp?
}

extension AccountSummary {
    /// An account as a decision found it.
    public init(_ account: Account, of subject: SubjectID) {
        self.init(
            subject: subject.id, balance: account.balance, held: account.held,
            monthlyAllowance: account.monthlyAllowance, monthConsumed: account.monthConsumed,
            totalConsumed: account.totalConsumed, nextReset: account.nextReset)
    }
}

/// Goes once through all accounts that there are, sorted by subject, as bytes. Each is told as it is
/// at the moment when it is read; one that is made meanwhile may be missing.
///
/// Of the accounts it holds ids only, at most 16 MiB of them; where there are more, all are gone
/// through again for each such part. It works on the loop of the engine that it asks.
public actor AccountListing {
    private static let idByteCountMax = 16 << 20
    /// Accounts per script call: less than a millisecond of Redis.
    private static let sliceCount = 100
    private static let scanCount = Array("200".utf8)

    private let queries: QueryEngine
    private let keys: Keyspace
    private let resets: MonthResets
    private var list: SubjectList?
    private var index = 0

    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        queries.loop.asUnownedSerialExecutor()
    }

    public init(_ queries: QueryEngine) {
        self.queries = queries
        keys = Keyspace(queries.settings)
        resets = MonthResets(queries.settings.calendar)
    }

    /// Some accounts more, perhaps none, without those of guests who were merged; nil at the end.
    public func next() async throws(MeteringError) -> [AccountSummary]? {
        if list == nil { list = try await ids(from: []) }
        if let list, index >= list.count {
            guard let upper = list.upper else { return nil }
            self.list = try await ids(from: upper)
            index = 0
        }
        guard let list else { return nil }
        let end = min(index + Self.sliceCount, list.count)
        guard index < end else { return nil }
        let slice = (index..<end).map { list[$0] }
        index = end
        // What is left of the account of a guest who was merged has nothing.
        let merged = try await queries.merged(among: slice.map { ByteString(bytes: $0) })
        return try await accounts(of: slice.filter { !merged.contains(ByteString(bytes: $0)) })
    }

    private func ids(from lower: [UInt8]) async throws(MeteringError) -> SubjectList {
        var list = SubjectList(from: lower, byteCountMax: Self.idByteCountMax)
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await queries.send(
                RedisCommand(
                    "HSCAN", [keys.accounts, cursor, Array("COUNT".utf8), Self.scanCount]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements
            else { throw .damaged(what: "the accounts") }
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                if let id = pairs[index].bytes { list.add(id) }
            }
            cursor = next
        } while cursor != Array("0".utf8)
        list.sort()
        return list
    }

    /// Those of some subjects, in their order; who has none is left out.
    func accounts(
        of subjects: [[UInt8]]
    ) async throws(MeteringError) -> [AccountSummary] {
        let policy = try await queries.rules().credits
        let now = queries.clock.now
        let today = queries.settings.calendar.day(at: now.milliseconds.flooredQuotient(1000))
        let writer = MessagePackWriter()
        writer.array(3)
        writer.integer(now.milliseconds)
        policy.write(0, resets.packed(on: today), today: today, writer)
        writer.array(subjects.count)
        for subject in subjects { writer.string(subject) }
        let reply = try await queries.run(
            ScriptLibrary.readAccounts, keys: [keys.accounts], arguments: [writer.take()])
        guard let values = reply.bytes.flatMap({ MessagePackValue($0) })?.array,
            values.count % 7 == 0
        else { throw .damaged(what: "an account") }
        var summaries: [AccountSummary] = []
        for start in stride(from: 0, to: values.count, by: 7) {
            let numbers = values[start + 1..<start + 7].compactMap(\.integer)
            guard let subject = values[start].bytes, numbers.count == 6 else {
                throw .damaged(what: "an account")
            }
            summaries.append(
                AccountSummary(
                    subject: ByteString(bytes: subject), balance: numbers[0], held: numbers[1],
                    monthlyAllowance: numbers[2], monthConsumed: numbers[3],
                    totalConsumed: numbers[4],
                    nextReset: numbers[5] == 0 ? nil : Timestamp(milliseconds: numbers[5])))
        }
        return summaries
    }
}

extension QueryEngine {
    /// The rules in force.
    func rules() async throws(MeteringError) -> Rules {
        try await RulesStore(client: try client, keys: keys).load()
    }
}
