// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// Users with the keys that they have and had.
extension API {
    private static let recentCount = 10
    private static let usersPerPart = 1000

    /// All of them, sent while they are read, as an export is.
    func poolUsers(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let slot = try slot(of: environment.exports, for: call)
        let ids = try await back(queries.poolUserIDs())
        let part: AnswerPart<PoolUserWriter> = { [queries] writer, cursor in
            let start = cursor.flatMap { Int($0) } ?? 0
            let end = min(start + Self.usersPerPart, ids.count)
            let written = try await back(queries.write(Array(ids[start..<end]), to: writer))
            return (written, end < ids.count ? "\(end)" : nil)
        }
        let first = try await part(PoolUserWriter(), nil)
        if first.next == nil {
            var writer = first.0
            writer.end()
            return .json(writer.take())
        }
        return sent(
            call, in: slot, headers: [(name: "Content-Type", value: "application/json")], first,
            part: part)
    }

    func poolUser(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let subject = try subject(call, at: 0)
        guard let user = try await back(queries.poolUser(subject)) else {
            throw HTTPProblem(
                .notFound, code: "user_not_found", detail: "nothing is known of this user")
        }
        let recent = try await back(queries.recentPoolKeys(of: subject, count: Self.recentCount))
        var json = JSONWriter(capacity: 2048)
        json.beginObject()
        json.key("user")
        json.beginObject()
        json.identity(user)
        json.key("member_since")
        json.time(user.since)
        json.endObject()
        json.stats(user.holder)
        json.key("recent_usage")
        json.beginArray()
        for key in recent { json.usage(of: key) }
        json.endArray()
        json.endObject()
        return .json(json.bytes)
    }
}

extension QueryEngine {
    /// Writes users on the engine's own loop.
    fileprivate func write(
        _ ids: [SubjectID], to writer: PoolUserWriter
    ) async throws -> PoolUserWriter {
        var writer = writer
        for user in try await poolUsers(ids) { writer.write(user) }
        return writer
    }
}

/// Writes `{"users":[…]}`.
private struct PoolUserWriter: PartWriter {
    private var json = JSONWriter(capacity: 1 << 16)
    private var isFirst = true

    mutating func write(_ user: PoolUser) {
        json.piece(isFirst ? "{\"users\":[" : ",")
        isFirst = false
        json.beginObject()
        json.identity(user)
        json.key("total_keys_received")
        json.integer(user.holder.received)
        json.key("total_keys_used")
        json.integer(user.holder.firstUses)
        json.key("current_assigned_keys")
        json.integer(user.holder.assigned)
        json.key("active_keys_count")
        json.integer(user.holder.active)
        json.key("ready_keys_count")
        json.integer(user.holder.ready)
        json.key("created_at")
        json.time(user.since)
        json.endObject()
    }

    mutating func end() { json.piece(isFirst ? "{\"users\":[]}" : "]}") }

    mutating func take() -> [UInt8] {
        defer { json.removeAll() }
        return json.bytes
    }
}

extension JSONWriter {
    fileprivate mutating func identity(_ user: PoolUser) {
        key("id")
        subjectID(user.id)
        key("username")
        text(user.username)
        key("email")
        text(user.email)
        key("role")
        text(user.role)
        key("is_active")
        boolean(user.isActive)
    }

    fileprivate mutating func stats(_ holder: PoolHolder) {
        key("lifetime_stats")
        beginObject()
        key("total_keys_received")
        integer(holder.received)
        key("total_keys_used")
        integer(holder.firstUses)
        key("usage_rate")
        string(holder.usageRate)
        endObject()
        key("current_keys")
        beginObject()
        key("total_assigned")
        integer(holder.assigned)
        key("active")
        integer(holder.active)
        key("dead")
        integer(holder.dead)
        key("out_of_credit")
        integer(holder.outOfCredit)
        key("used")
        integer(holder.used)
        key("unused")
        integer(holder.assigned - holder.used)
        key("ready_to_use")
        integer(holder.ready)
        endObject()
        key("credits")
        beginObject()
        key("total_available")
        integer(holder.credits)
        key("avg_per_active_key")
        integer(holder.creditsPerActiveKey)
        endObject()
    }

    fileprivate mutating func usage(of poolKey: PoolKey) {
        beginObject()
        key("id")
        integer(poolKey.id)
        key("name")
        string(bytes: poolKey.name.bytes)
        key("status")
        string(poolKey.status.name)
        key("credit_balance")
        if let balance = poolKey.creditBalance { integer(balance) } else { null() }
        key("last_used")
        time(poolKey.lastUsed)
        key("last_error")
        text(poolKey.lastError)
        endObject()
    }
}
