// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing
import Transfer

/// The API with a data folder, in which secrets can be sealed.
func withPoolAPI(
    _ courier: Courier = Courier(),
    _ body: @Sendable (isolated LoopHost, Harness, RedisServer) async throws -> Void
) async throws {
    let folder = try makeTemporaryFolder()
    defer { removeFolder(folder) }
    try await withRedis { redis in
        try await onLoop { host in
            let harness = await Harness(redis, on: host.loop, data: folder, courier: courier)
            do {
                try await body(host, harness, redis)
                await harness.queries.stop()
            } catch {
                await harness.queries.stop()
                throw error
            }
        }
    }
}

extension Harness {
    /// Imports keys with these balances (nil: unknown).
    @discardableResult
    func stock(
        _ balances: [Int?], provider: String = "elevenlabs", prefix: String = "sk-secret-of-key"
    ) async -> Answer {
        let rows = balances.enumerated().map { index, balance in
            #"{"name":"Key #\#(index + 1)","secret":"\#(prefix)-\#(index)","#
                + #""credit_balance":\#(balance.map { "\($0)" } ?? "null")}"#
        }
        return await send(
            .post, "/api/\(provider)/keys/import", "[\(rows.joined(separator: ","))]")
    }

    func assign(_ quantity: Int, to user: String = "5") async -> Answer {
        await send(
            .post, "/api/elevenlabs/bulk-assign",
            #"{"user_id": \#(user), "quantity": \#(quantity)}"#)
    }

    func report(
        _ id: Int, _ status: String = "active", _ balance: String = "45000",
        error: String = "null"
    ) async -> Answer {
        await send(
            .post, "/api/tool/elevenlabs/status",
            #"{"key_id":\#(id),"status":"\#(status)","credit_balance":\#(balance),"#
                + #""error_message":\#(error)}"#)
    }
}

extension Answer {
    /// A member of an object in the answer.
    func at(_ path: String...) -> Any? {
        path.reduce(json as Any?) { ($0 as? [String: Any])?[$1] }
    }

    func list(_ name: String) -> [[String: Any]] { json[name] as? [[String: Any]] ?? [] }
}

@Suite(.timeLimit(.minutes(15))) struct KeyPoolGuideTests {
    @Test func `The guide's steps have its results`() async throws {
        try await withPoolAPI { _, api, _ in
            await api.stock((0..<20).map { 1000 + $0 } + [800, 0])
            // Nobody knows the user before.
            #expect(await api.get("/api/users/5/stats").status == 404)
            let first = await api.assign(10)
            #expect(first.status == 200)
            #expect(first.json["success"] as? Bool == true)
            #expect(first.json["assigned_count"] as? Int == 10)
            #expect(first.json["message"] as? String == "Successfully assigned 10 keys to user")
            let keys = first.list("assigned_keys")
            #expect(keys.compactMap { $0["credit_balance"] as? Int } == (1010...1019).reversed())
            #expect(keys.allSatisfy { $0["assigned_user_id"] as? Int == 5 })
            let stats = await api.get("/api/users/5/stats")
            #expect(stats.at("lifetime_stats", "total_keys_received") as? Int == 10)
            #expect(stats.at("lifetime_stats", "usage_rate") as? String == "0.0%")

            // The first use of a key counts, the second does not.
            let id = try #require(keys[0]["id"] as? Int)
            #expect(keys[0]["last_used"] is NSNull)
            let use = await api.report(id)
            #expect(
                use.text
                    == #"{"success":true,"message":"Key status updated","first_use":true}"#)
            #expect(await api.report(id).json["first_use"] as? Bool == false)
            let used = await api.get("/api/users/5/stats")
            #expect(used.at("lifetime_stats", "total_keys_used") as? Int == 1)
            for key in keys[1..<8] {
                let answer = await api.report(try #require(key["id"] as? Int))
                #expect(answer.json["first_use"] as? Bool == true)
            }
            // One is out of credit, two have little left.
            _ = await api.report(
                id, "out_of_credit", "0", error: #""No credits remaining""#)
            for key in keys[1...2] {
                _ = await api.report(try #require(key["id"] as? Int), "active", "300")
            }
            #expect(await api.assign(5).json["assigned_count"] as? Int == 5)
            let users = await api.get("/api/users").list("users")
            #expect(users.count == 1)
            let expected: [String: Any] = [
                "id": 5, "username": NSNull(), "email": NSNull(), "role": NSNull(),
                "is_active": true, "total_keys_received": 15, "total_keys_used": 8,
                "current_assigned_keys": 15, "active_keys_count": 14, "ready_keys_count": 12,
                "created_at": NSNull(),
            ]
            #expect(NSDictionary(dictionary: users[0]) == NSDictionary(dictionary: expected))
        }
    }

    @Test func `35 used of 50 is 70.0%, and all numbers of the guide's user come out`() async throws
    {
        try await withPoolAPI { _, api, _ in
            await api.stock([Int?](repeating: 45_000, count: 50))
            _ = await api.assign(50)
            for id in 1...35 {
                api.clock.advance(1000)
                _ = await api.report(id)
            }
            // 35 go back, of which 22 were used: 13 used and 2 new ones are left.
            for id in Array(1...22) + Array(38...50) {
                let answer = await api.send(
                    .authorized(.post, "/api/elevenlabs/keys/\(id)/unassign"))
                #expect(answer.status == 200)
            }
            _ = await api.report(23, "dead", "0", error: #""invalid key""#)
            _ = await api.report(24, "dead", "0")
            _ = await api.report(25, "out_of_credit", "0")
            for id in [26, 27] { _ = await api.report(id, "active", "800") }
            let balances = 450_000 - 1600
            for id in 28...35 { _ = await api.report(id, "active", "\(balances / 10)") }
            for id in [36, 37] {
                _ = await api.send(
                    .patch, "/api/elevenlabs/keys/\(id)", #"{"credit_balance":\#(balances / 10)}"#)
            }
            let answer = await api.get("/api/users/5/stats")
            #expect(answer.at("lifetime_stats", "usage_rate") as? String == "70.0%")
            #expect(
                answer.text.contains(
                    #""lifetime_stats":{"total_keys_received":50,"total_keys_used":35,"usage_rate":"70.0%"},"#
                        + #""current_keys":{"total_assigned":15,"active":12,"dead":2,"out_of_credit":1,"#
                        + #""used":13,"unused":2,"ready_to_use":10},"#
                        + #""credits":{"total_available":450000,"avg_per_active_key":37500},"#))
            let recent = answer.list("recent_usage")
            #expect(recent.count == 10)
            #expect(recent.compactMap { $0["id"] as? Int } == (26...35).reversed())
            #expect(
                Set(recent[0].keys) == [
                    "id", "name", "status", "credit_balance", "last_used", "last_error",
                ])
            #expect(
                Set((answer.json["user"] as? [String: Any] ?? [:]).keys) == [
                    "id", "username", "email", "role", "is_active", "member_since",
                ])
        }
    }

    @Test func `None left is 409, and an id may be any text`() async throws {
        try await withPoolAPI { _, api, redis in
            await api.stock([900, nil])
            let some = await api.assign(10, to: #""user@example.org""#)
            #expect(some.json["assigned_count"] as? Int == 2)
            #expect(
                some.list("assigned_keys").map { $0["assigned_user_id"] as? String }
                    == ["user@example.org", "user@example.org"])
            let before = try redis.fingerprintWithoutAudit()
            let none = await api.assign(1)
            #expect(none.status == 409 && none.code == "no_keys_available")
            #expect(none.json["success"] as? Bool == false)
            #expect(try redis.fingerprintWithoutAudit() == before)
            let stats = await api.get("/api/users/user%40example.org/stats")
            #expect(stats.at("user", "id") as? String == "user@example.org")
            #expect(stats.at("user", "member_since") is NSNull)
            // Its first event, then.
            _ = await api.post(
                #"{"subject":"user@example.org","meters":{"messages":1},"#
                    + #""time":"2026-11-20T10:00:00Z"}"#)
            let later = await api.get("/api/users/user%40example.org/stats")
            #expect(later.at("user", "member_since") as? String == "2026-11-20T10:00:00Z")
            // A number and its digits are one user.
            await api.stock([900, 901], prefix: "sk-other")
            _ = await api.assign(1, to: "7")
            _ = await api.assign(1, to: #""7""#)
            #expect(
                await api.get("/api/users/7/stats").at("current_keys", "total_assigned") as? Int
                    == 2)
        }
    }

    @Test func `A pool is lived with: imported, listed, edited, unassigned, deleted`() async throws
    {
        try await withPoolAPI { _, api, _ in
            let first = await api.stock([900, nil, 500])
            #expect(
                first.text
                    == #"{"success":true,"imported_count":3,"failed_count":0,"results":["#
                    + #"{"id":1,"status":201},{"id":2,"status":201},{"id":3,"status":201}]}"#)
            let csv = Array(
                "\u{feff}name,secret,status,credit_balance\r\n\"K, 4\",sk-csv-secret-0001,,\r\nK5,sk-secret-of-key-0,active,7\r\nK6,,dead,1\r\nK7,x,dead\r\n"
                    .utf8)
            let second = await api.send(
                .authorized(
                    .post, "/api/elevenlabs/keys/import", headers: ["Content-Type": "text/csv"],
                    body: csv))
            #expect(second.results.compactMap { $0["status"] as? Int } == [201, 409, 422, 422])
            #expect(
                second.codes == [nil, "duplicate_secret", "invalid_text", "wrong_column_count"])
            #expect(second.json["success"] as? Bool == false)
            #expect(second.json["imported_count"] as? Int == 1)
            let last = try #require(second.results[0]["id"] as? Int)

            let list = await api.get("/api/elevenlabs/keys", query: "limit=2")
            #expect(
                list.list("keys").compactMap { $0["secret"] as? String } == [
                    "****ey-0", "****ey-1",
                ])
            #expect(list.json["next"] as? String == "2")
            let rest = await api.get("/api/elevenlabs/keys", query: "limit=2&cursor=2")
            #expect(rest.list("keys").compactMap { $0["id"] as? Int } == [3, last])
            #expect(rest.json["next"] is NSNull)
            let one = await api.get("/api/elevenlabs/keys/\(last)")
            #expect(
                one.text
                    == #"{"id":\#(last),"name":"K, 4","secret":"sk-csv-secret-0001","#
                    + #""credit_balance":null,"status":"active","assigned_user_id":null,"#
                    + #""last_used":null,"last_error":null,"created_at":"2026-11-21T10:00:00Z"}"#)
            let edited = await api.send(
                .patch, "/api/elevenlabs/keys/3", #"{"name":"Third","status":"dead"}"#)
            #expect(edited.json["name"] as? String == "Third")
            #expect(edited.json["secret"] as? String == "****ey-2")
            _ = await api.assign(1)
            let filters = [
                ("status=dead", [3]), ("status=active", [1, 2, last]), ("assigned=true", [1]),
                ("assigned=false", [2, 3, last]), ("user_id=5", [1]), ("user_id=6", []),
                ("assigned=false&status=active", [2, last]),
            ]
            for (query, ids) in filters {
                let answer = await api.get("/api/elevenlabs/keys", query: query)
                #expect(answer.list("keys").compactMap { $0["id"] as? Int } == ids, "\(query)")
            }
            let back = await api.send(.authorized(.post, "/api/elevenlabs/keys/1/unassign"))
            #expect(back.json["assigned_user_id"] is NSNull)
            let gone = await api.send(.authorized(.delete, "/api/elevenlabs/keys/1"))
            #expect(gone.status == 204 && gone.body.isEmpty)
            #expect(await api.get("/api/elevenlabs/keys/1").status == 404)
            let stats = await api.get("/api/users/5/stats")
            #expect(stats.at("lifetime_stats", "total_keys_received") as? Int == 1)
            #expect(stats.at("current_keys", "total_assigned") as? Int == 0)
            // Another provider has keys and settings of its own.
            #expect(await api.get("/api/openai/keys").list("keys").isEmpty)
            let set = await api.send(.put, "/api/openai/settings", #"{"threshold":5}"#)
            #expect(set.text == #"{"provider":"openai","threshold":5}"#)
            #expect(
                await api.get("/api/elevenlabs/settings").text
                    == #"{"provider":"elevenlabs","threshold":800}"#)
        }
    }
}
