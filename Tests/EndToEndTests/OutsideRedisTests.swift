// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// A Redis as its owner set it up, and what the service says of it.
private struct Setup: CustomTestStringConvertible {
    let settings: [String]
    /// Part of what `/readyz` gives as the reason of its 503; nil for 200.
    let refusal: String?
    var isWarned = false
    var durability = "kernel"
    var testDescription: String { settings.joined(separator: " ") }
}

extension Faults {
    @Test(arguments: [
        Setup(
            settings: ["--appendonly", "no"], refusal: "does not keep its data", durability: "none"),
        Setup(
            settings: ["--appendonly", "yes", "--appendfsync", "no"], refusal: "does not keep",
            durability: "none"),
        Setup(
            settings: ["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"],
            refusal: "may throw data away (maxmemory-policy allkeys-lru)"),
        Setup(settings: ["--appendonly", "yes"], refusal: nil, isWarned: true),
        Setup(settings: ["--appendonly", "yes", "--aof-load-truncated", "no"], refusal: nil),
    ])
    private func `A Redis that may lose what was acknowledged is refused, unless that is accepted`(
        _ setup: Setup
    ) async throws {
        let redis = try RedisServer(extra: setup.settings)
        let address = ["--redis", "unix://\(redis.socketPath)"]
        let service = try TallyProcess(arguments: address)
        try await blocking { try service.launch() }
        try await blocking {
            let client = service.client()
            let status = setup.refusal == nil ? 200 : 503
            try waitUntil("the Redis was looked at") {
                guard let answer = try? client.get("/readyz") else { return false }
                let detail = answer.json["detail"] as? String ?? ""
                return answer.status == status && setup.refusal.map(detail.contains) ?? true
            }
            let body = #"{"id":"1","subject":"a","meters":{"tokens":1}}"#
            #expect(try client.post("/v1/events", body).status == status)
            let durability = try client.get("/readyz").json["durability"] as? String
            #expect(durability == setup.durability)
        }
        #expect(service.terminate() == 0)
        #expect(service.log.contains("set aof-load-truncated no") == setup.isWarned)

        let accepting = try TallyProcess(arguments: address + ["--allow-volatile"])
        try await blocking { try accepting.start() }
        #expect(accepting.terminate() == 0)
    }

    @Test func `A Redis that was refused is accepted when it is mended, and the other way round`()
        async throws
    {
        let redis = try RedisServer(extra: ["--appendonly", "yes"])
        let service = try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
        try await blocking {
            try service.start()
            let client = service.client()
            for (name, bad, good) in [
                ("maxmemory-policy", "allkeys-lru", "noeviction"), ("appendonly", "no", "yes"),
            ] {
                try redis.request("CONFIG SET \(name) \(bad)")
                try waitUntil("\(name) is refused") { (try? client.get("/readyz"))?.status == 503 }
                try redis.request("CONFIG SET \(name) \(good)")
                try waitUntil("\(name) is accepted") { (try? client.get("/readyz"))?.status == 200 }
            }
        }
        #expect(service.terminate() == 0)
    }

    @Test(arguments: [
        ("", "NOAUTH", "CONFIG SET requirepass \"\""),
        ("tally:right@", "WRONGPASS", "ACL SETUSER tally on >right ~* +@all"),
    ])
    private func `A password that Redis does not take is told, and taken when it is mended there`(
        login: String, code: String, remedy: String
    ) async throws {
        let redis = try RedisServer(extra: Self.lasting + ["--requirepass", "secret"])
        let service = try TallyProcess(arguments: ["--redis", "unix://\(login)\(redis.socketPath)"])
        try await blocking {
            try service.launch()
            let client = service.client()
            try waitUntil("it is told") {
                guard let answer = try? client.get("/readyz"), answer.status == 503 else {
                    return false
                }
                let detail = answer.json["detail"] as? String ?? ""
                return detail.contains(code)
            }
            // All connections have been tried, and some of them again.
            usleep(1_500_000)
            try redis.request("AUTH secret\r\n\(remedy)")
            try service.waitUntilReady()
            let body = #"{"id":"1","subject":"a","meters":{"tokens":1}}"#
            #expect(try client.post("/v1/events", body).status == 200)
        }
        #expect(service.terminate() == 0)
        let reasons = try service.log.split(separator: "\n").filter {
            // What ends with the service says so by itself.
            $0.contains(#""message":"no connection to Redis"#)
        }.map { line in
            let entry = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            return try #require(entry?["reason"] as? String)
        }
        #expect(reasons.contains { $0.contains(code) }, "\(reasons)")
        for reason in reasons {
            let isTold = reason.contains(code) || Self.delays.contains(where: reason.hasPrefix)
            #expect(isTold, "\(reason)")
            #expect(!reason.contains("secret"), "\(reason)")
        }
        #expect(!service.log.contains("right"), "\(reasons)")
    }

    @Test
    func `A user of Redis has the rights that the documentation tells, or it is told which not`()
        async throws
    {
        let page = try String(
            contentsOfFile: "\(TallyProcess.package)/docs/keys.md", encoding: .utf8)
        let line = try #require(
            page.split(separator: "\n").first { $0.hasPrefix("ACL SETUSER tally ") })
        let rule = String(line.replacing(">PASSWORD", with: ">right"))
        let redis = try RedisServer(extra: Self.lasting)
        try redis.request(rule)
        let service = try TallyProcess(
            arguments: ["--redis", "unix://tally:right@\(redis.socketPath)"])
        try await blocking {
            try service.start()
            let client = service.client()
            var count = 0
            func record() throws -> Int {
                count += 1
                return try client.post(
                    "/v1/events", #"{"id":"\#(count)","subject":"a","meters":{"tokens":1}}"#
                ).status
            }
            #expect(try record() == 200)
            #expect(try client.get("/readyz").json["durability"] as? String == "fsynced")
            let all = "+@read +@write +@scripting +time +ping +select +info +config|get"
            #expect(rule.hasSuffix(all))
            for (change, named) in [
                ("-evalsha", "evalsha"), ("-hset -xadd", "HSET, XADD"), ("-time", "TIME"),
                ("resetkeys ~t2:*", "NOPERM"),
            ] {
                try redis.request("ACL SETUSER tally \(change)")
                try waitUntil("\(change) is told") {
                    guard let answer = try? client.get("/readyz"), answer.status == 503 else {
                        return false
                    }
                    let detail = answer.json["detail"] as? String ?? ""
                    return detail.contains(named) && detail.contains("docs/keys.md")
                }
                #expect(try record() == 503)
                try redis.request(rule)
                try waitUntil("it recovers") { (try? client.get("/readyz"))?.status == 200 }
                #expect(try record() == 200)
            }
        }
        #expect(service.terminate() == 0)
    }

    /// A user that may not ask all, and what becomes of it.
    @Test(arguments: [
        (
            "", "whether Redis keeps its data (appendonly) and whether Redis throws data away",
            "unknown"
        ),
        // As with managed ones.
        ("+info", nil, "unknown"),
        ("+config|get", nil, "fsynced"),
    ])
    private func `A Redis of which it is not known whether it keeps its data is refused`(
        right: String, refusal: String?, durability: String
    ) async throws {
        let redis = try RedisServer(extra: Self.lasting)
        try redis.request(
            "ACL SETUSER tally on >right ~t1:* +@read +@write +@scripting +time +ping +select \(right)"
        )
        let address = ["--redis", "unix://tally:right@\(redis.socketPath)"]
        let service = try TallyProcess(arguments: address)
        try await blocking {
            try service.launch()
            let client = service.client()
            try waitUntil("the Redis was looked at") {
                guard let answer = try? client.get("/readyz") else { return false }
                guard let refusal else { return answer.status == 200 }
                let detail = answer.json["detail"] as? String ?? ""
                return answer.status == 503 && detail.contains(refusal)
                    && detail.contains("grant it INFO and CONFIG|GET")
            }
            #expect(try client.get("/readyz").json["durability"] as? String == durability)
            let body = #"{"id":"1","subject":"a","meters":{"tokens":1}}"#
            #expect(try client.post("/v1/events", body).status == (refusal == nil ? 200 : 503))
        }
        #expect(service.terminate() == 0)
        #expect(service.log.contains("its user may not ask") == (refusal != nil))

        let accepting = try TallyProcess(arguments: address + ["--allow-volatile"])
        try await blocking { try accepting.start() }
        #expect(accepting.terminate() == 0)
    }

    @Test func `A write command that is taken from the user of Redis leaves nothing half done`()
        async throws
    {
        let redis = try RedisServer(extra: Self.lasting)
        try redis.request("ACL SETUSER tally on >right ~t1:* +@all")
        let service = try TallyProcess(
            arguments: ["--redis", "unix://tally:right@\(redis.socketPath)"])
        try await blocking {
            try service.start()
            let client = service.client()
            func record(_ id: String) throws -> (status: Int, isDuplicate: Bool) {
                let answer = try client.post(
                    "/v1/events", #"{"id":"\#(id)","subject":"a","meters":{"tokens":1}}"#)
                return (answer.status, answer.json["duplicate"] as? Bool ?? false)
            }
            #expect(try record("first").status == 200)
            var count = 1
            for command in ["xadd", "expire", "hincrby", "hset", "zadd", "set"] {
                try redis.request("ACL SETUSER tally -\(command)")
                #expect(try record(command).status == 503)
                try waitUntil("\(command) is told") {
                    let answer = try? client.get("/readyz")
                    return answer?.text.contains(command.uppercased()) ?? false
                }
                try redis.request("ACL SETUSER tally +\(command)")
                try service.waitUntilReady()
                let again = try record(command)
                #expect(again == (200, false), "\(command)")
                count += 1
                #expect(try client.usage(of: "a").totals["tokens"] == count, "\(command)")
                let page = try client.get("/v1/subjects/a/events")
                let listed = page.json["events"] as? [Any]
                #expect(listed?.count == count, "\(command)")
            }
        }
        #expect(service.terminate() == 0)
    }

    /// What a connection may fail by on a slow machine before Redis has said anything of the login.
    private static let delays = [
        "no connection within ", "no reply within ", "connect: Connection refused",
        "closed by Redis", "read: Connection reset by peer", "write: Broken pipe",
    ]

    private static let lasting = [
        "--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "no",
    ]

    @Test
    func `Another Redis behind the address is asked for its workspaces, whatever its version`()
        async throws
    {
        let redis = try RedisServer()
        let other = try RedisServer()
        let service = try TallyProcess(
            arguments: ["--redis", "unix://\(redis.socketPath)", "--allow-volatile"])
        try await blocking {
            try service.start()
            let client = service.client()
            #expect(try client.post("/v1/workspaces", #"{"id":"old"}"#).status == 201)
            var count = 0
            func record() -> Int? {
                count += 1
                let body = #"{"id":"\#(count)","subject":"a","meters":{"tokens":1}}"#
                let reply = try? client.post(
                    "/v1/events", body, headers: ["X-Tally-Workspace": "old"])
                return reply?.status
            }
            #expect(record() == 200)
            // It has changed its workspaces as often, and has other ones.
            let key = "t1:{@}:version"
            let version = try #require(
                try redis.request("GET \(key)").split(separator: "\r\n").last)
            try other.request("SET \(key) \(version)")
            redis.kill()
            #expect(rename(other.socketPath, redis.socketPath) == 0)
            try waitUntil("the workspace is not known to the other Redis") { record() == 404 }
        }
        #expect(service.terminate() == 0)
    }

    @Test func `A Redis that is busy with a script of somebody else is not ready until it is done`()
        async throws
    {
        let redis = try RedisServer(extra: Self.lasting + ["--busy-reply-threshold", "50"])
        let service = try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
        try await blocking {
            try service.start()
            let client = service.client()
            let script = try ChildProcess(
                ["redis-cli", "-s", redis.socketPath, "EVAL", "while true do end", "0"],
                log: "\(redis.folder)/script.log")
            defer { script.end() }
            try waitUntil("it is told") {
                guard let answer = try? client.get("/readyz"), answer.status == 503 else {
                    return false
                }
                return (answer.json["detail"] as? String ?? "").contains("BUSY")
            }
            try redis.request("SCRIPT KILL")
            try service.waitUntilReady()
        }
        #expect(service.terminate() == 0)
    }
}
