// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Notices on their way. On its loop's thread only.
final class AlertOutbox {
    /// So many that could not be delivered are kept.
    static let deadCountMax = 10_000

    private let client: RedisClient
    private let keys: Keyspace
    private let writer = MessagePackWriter()

    init(client: RedisClient, keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// What became of an attempt.
    enum Outcome {
        case sent
        /// It is due again at a time.
        case failed(dueMS: Int, fault: String)
        /// It never left, which is no attempt; it is due again at a time.
        case unsent(dueMS: Int, fault: String)
        case dead(atMS: Int, fault: String)
    }

    /// Where notices go, and how many more of them may.
    struct Places {
        /// Flat: an alert's id, its place from 1 on.
        var ofAlerts: [Int] = []
        /// Flat, by place: how many more may go there, -1 to put off what is due; when the claim is over.
        var rooms: [Int] = []
    }

    /// Whether there is more that is due.
    enum Rest: Int {
        case none
        /// There was no room for it.
        case withoutRoom
        /// It is behind what was looked at.
        case behind
    }

    /// Takes notices that are due; nobody else gets them until the claim is over.
    ///
    /// - Parameter offset: of those that are due, how many to pass over: for what stayed there is no room.
    func claim(
        now: Int, endMS: Int, count: Int, after offset: Int, _ places: Places
    ) async throws(MeteringError) -> (notices: [AlertNotice], rest: Rest, stayed: Int) {
        writer.integers(places.ofAlerts)
        let ofAlerts = writer.take()
        writer.integers(places.rooms)
        let reply = try await run(
            ScriptLibrary.claimNotices, [keys.notices, keys.dueNotices],
            ["\(now)", "\(endMS)", "\(count)"].map { Array($0.utf8) }
                + [ofAlerts, writer.take(), Array("\(offset)".utf8)])
        guard let values = reply.elements, values.count >= 2,
            let rest = values[0].integer.flatMap(Rest.init), let stayed = values[1].integer
        else { throw Self.damaged }
        var notices: [AlertNotice] = []
        for index in stride(from: 2, to: values.count - 1, by: 2) {
            guard let id = values[index].bytes, let packed = values[index + 1].bytes,
                let notice = AlertNotice(id, packed: packed)
                // It keeps no other from being delivered; who lists the notices is told.
            else { continue }
            notices.append(notice)
        }
        return (notices, rest, stayed)
    }

    func settle(_ notice: AlertNotice, _ outcome: Outcome) async throws(MeteringError) {
        let words: [String] =
            switch outcome {
            case .sent: ["sent", "0", ""]
            case .failed(let due, let fault): ["failed", "\(due)", fault]
            case .unsent(let due, let fault): ["unsent", "\(due)", fault]
            case .dead(let at, let fault): ["dead", "\(at)", fault]
            }
        _ = try await settle(notice.id, attempt: notice.attempts, words)
    }

    /// Delivers again what was given up.
    ///
    /// - Throws: 409 `delivery_pending` for one that was not.
    /// - Returns: false when there is no such notice.
    func retry(_ id: String, now: Int) async throws -> Bool {
        switch try await settle(id, attempt: 0, ["again", "\(now)", ""]) {
        case 0: return false
        case 1: return true
        default:
            throw EventRejection(
                status: 409, code: "delivery_pending", field: "",
                detail: "this notice is still on its way")
        }
    }

    private func settle(
        _ id: String, attempt: Int, _ words: [String]
    ) async throws(MeteringError) -> Int {
        let reply = try await run(
            ScriptLibrary.settleNotice, [keys.notices, keys.dueNotices, keys.deadNotices],
            [id, "\(attempt)"] + words + ["\(Self.deadCountMax)"])
        guard let code = reply.integer else { throw Self.damaged }
        return code
    }

    /// Notices of a state, the first first.
    func page(
        _ state: NoticeState, limit: Int, after cursor: NoticeCursor?
    ) async throws(MeteringError) -> NoticePage {
        let set = state == .dead ? keys.deadNotices : keys.dueNotices
        let reply = try await run(
            ScriptLibrary.listNotices, [keys.notices, set],
            [cursor.map { "\($0.time)" } ?? "", cursor?.id ?? "", "\(limit)"])
        guard let parts = reply.elements, parts.count == 2, let places = parts[0].elements,
            let values = parts[1].elements, places.count == 2 * values.count
        else { throw Self.damaged }
        var notices: [(AlertNotice, Timestamp)] = []
        var last: NoticeCursor?
        for (index, value) in values.enumerated() {
            guard let id = places[2 * index].bytes,
                let time = places[2 * index + 1].bytes.flatMap({
                    Int(String(decoding: $0, as: UTF8.self))
                })
            else { throw Self.damaged }
            last = NoticeCursor(time: time, id: String(decoding: id, as: UTF8.self))
            // One whose notice is gone is taken off when it is due.
            guard let packed = value.bytes else { continue }
            guard let notice = AlertNotice(id, packed: packed) else { throw Self.damaged }
            notices.append((notice, Timestamp(milliseconds: time)))
        }
        return NoticePage(notices: notices, next: values.count < limit ? nil : last)
    }

    /// How many there are of each state.
    func counts() async throws(MeteringError) -> (pending: Int, dead: Int) {
        do {
            let pending = try await client.send(RedisCommand("ZCARD", [keys.dueNotices])).integer
            let dead = try await client.send(RedisCommand("ZCARD", [keys.deadNotices])).integer
            return (pending ?? 0, dead ?? 0)
        } catch {
            throw .unavailable(error)
        }
    }

    private func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [String]
    ) async throws(MeteringError) -> RedisValue {
        try await run(script, names, arguments.map { Array($0.utf8) })
    }

    private func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.run(script, keys: names, arguments: arguments)
        } catch {
            throw .unavailable(error)
        }
    }

    private static let damaged = MeteringError.damaged(what: "notices of alerts")
}
