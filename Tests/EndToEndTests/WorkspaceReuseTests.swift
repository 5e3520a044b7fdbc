// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing

extension EndToEnd {
    /// What one process remembers of a workspace is not told of the next one that has its id.
    @Test func `A workspace that has another one's id begins with nothing`() async throws {
        let redis = try RedisServer(.appendOnly(fsync: "everysec"))
        let services = try (0..<2).map { _ in
            try TallyProcess(
                arguments: ["--redis", "unix://\(redis.socketPath)", "--flush-interval", "1"])
        }
        try await blocking { for service in services { try service.start() } }
        let paths = [
            "/v1/series?meter=tokens&bucket=day&group_by=action",
            "/v1/series?meter=tokens&bucket=hour&group_by=model", "/v1/leaderboards/tokens",
            "/v1/leaderboards/tokens?window=7d", "/api/v1/admin/credits/overview",
            "/admin/analytics", "/v1/subjects", "/v1/events", "/v1/prices",
        ]
        try await blocking {
            let operators = services.map { $0.client() }
            for name in ["zebra", "okapi"] {
                try operators[0].requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
                let made = try operators[0].requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#)
                let key = made.json["secret"] as? String
                let clients = services.map { BlockingHTTPClient(port: $0.port, key: key) }
                // Another process knows a workspace a fifth of a second later.
                while try clients[1].get("/v1/workspace").status != 200 { usleep(20_000) }
                // The first has as many events as the second: nothing tells them apart by their numbers.
                for number in 0..<3 {
                    try clients[number % 2].requestUntilReady(
                        "POST", "/v1/events",
                        #"{"id":"\#(number)","subject":"\#(name)","action":"\#(name)","#
                            + #""model":"\#(name)","meters":{"tokens":1,"messages":1}}"#)
                }
                if name == "zebra" {
                    try clients[0].requestUntilReady(
                        "PUT", "/v1/prices", #"{"models":{"zebra":{"input":"1"}}}"#)
                }
                for client in clients {
                    let texts = try paths.map { try client.requestUntilReady("GET", $0).text }
                    #expect(
                        texts.allSatisfy { name == "zebra" || !$0.contains("zebra") }, "\(texts)")
                    #expect(texts[0].contains(name) && texts[1].contains(name))
                }
                guard name == "zebra" else { break }
                // Files of the first are there when it goes.
                sleep(2)
                let gone = try operators[0].request("DELETE", "/v1/workspaces/acme", nil, "")
                #expect(gone.status == 202)
            }
        }
        for service in services { service.terminate() }
    }

    /// A process is stopped for the whole of a deletion, with requests for the first workspace before
    /// it: it answers them as it wakes up, before it can know.
    @Test func `What was under way for a workspace that is gone reaches nothing of the next one`()
        async throws
    {
        let redis = try RedisServer(.appendOnly(fsync: "everysec"))
        let services = try (0..<2).map { _ in
            try TallyProcess(
                arguments: ["--redis", "unix://\(redis.socketPath)", "--threads", "1"])
        }
        try await blocking { for service in services { try service.start() } }
        let secret = try await blocking {
            let host = services[0].client()
            try host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            let key =
                try host.requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#
                ).json["secret"] as? String
            for service in services {
                let client = BlockingHTTPClient(port: service.port, key: key)
                while try client.get("/v1/workspace").status != 200 { usleep(20_000) }
                try client.requestUntilReady(
                    "POST", "/v1/events", #"{"subject":"first","meters":{"tokens":1}}"#)
            }
            return key
        }
        let stopped = try #require(services[1].processID)
        freeze(stopped)
        let acts = [
            ("POST", "/v1/events", #"{"id":"zebra","subject":"zebra","meters":{"tokens":7}}"#),
            ("POST", "/v1/events", #"[{"subject":"zebra","meters":{"tokens":7}}]"#),
            ("PUT", "/v1/subjects/zebra", #"{"email":"zebra@example.com"}"#),
            ("POST", "/v1/credits/zebra/grants", #"{"id":"zebra","credits":"3"}"#),
            ("POST", "/v1/check", #"{"subject":"zebra","amounts":{"tokens":1},"consume":true}"#),
            ("POST", "/v1/holds", #"{"id":"zebra","subject":"zebra","credits":"0"}"#),
            ("PUT", "/v1/prices", #"{"models":{"zebra":{"input":"1"}}}"#),
            ("POST", "/v1/keys", #"{"role":"reader","name":"zebra"}"#),
            ("POST", "/api/zebra/keys/import", #"[{"name":"zebra","secret":"s"}]"#),
        ]
        let secrets = Mutex<[String]>([])
        let acknowledged = Mutex<[String]>([])
        await inParallel(acts.count + 1) { index in
            if index < acts.count {
                let client = BlockingHTTPClient(port: services[1].port, key: secret)
                let (method, path, body) = acts[index]
                let answer = try? client.request(
                    method, path, Array(body.utf8), "application/json")
                if method == "POST", path != "/v1/keys", path != "/api/zebra/keys/import",
                    let answer, answer.status < 300
                {
                    acknowledged.withLock { $0.append("\(path): \(answer.text)") }
                }
                return
            }
            defer { Glibc.kill(stopped, SIGCONT) }
            let host = services[0].client()
            usleep(300_000)
            _ = try? host.request("DELETE", "/v1/workspaces/acme", nil, "")
            _ = try? host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            let made = try? host.requestUntilReady(
                "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#)
            secrets.withLock { $0 = [made?.json["secret"] as? String ?? ""] }
        }
        #expect(acknowledged.withLock { $0 } == [])
        let key = try #require(secrets.withLock { $0.first })
        try await blocking {
            let clients = services.map { BlockingHTTPClient(port: $0.port, key: key) }
            while try clients[1].get("/v1/workspace").status != 200 { usleep(20_000) }
            try clients[0].requestUntilReady(
                "POST", "/v1/events", #"{"subject":"next","meters":{"tokens":2}}"#)
            func tags() throws -> Set<Substring> {
                // The mark of the deletion stays.
                let names = try redis.request("KEYS t1:{acme*").split(separator: "\r\n")
                    .filter { $0.hasPrefix("t1:") && !$0.hasSuffix(":rules") }
                return Set(names.map { $0.prefix { $0 != "}" } })
            }
            // What is left of the first one is looked for every ten seconds.
            for _ in 0..<600 where try tags().count != 1 { usleep(100_000) }
            #expect(try tags().count == 1)
            for client in clients {
                for path in [
                    "/v1/events", "/v1/subjects", "/v1/leaderboards/tokens", "/v1/prices",
                    "/v1/keys", "/v1/audit", "/api/zebra/keys",
                ] {
                    let text = try client.requestUntilReady("GET", path).text
                    #expect(!text.contains("\"zebra"), "\(path): \(text)")
                }
                let board = try client.requestUntilReady("GET", "/v1/leaderboards/tokens").json
                #expect((board["entries"] as? [[String: Any]])?.count == 1)
            }
        }
        for service in services { service.terminate() }
    }

    /// Both logs have the same places.
    @Test
    func `What names a place in the log of a workspace that is gone names none in the next one`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1"])
            try service.start()
            let host = service.client()
            func makeKey() throws -> String {
                try host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
                let made = try host.requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#)
                return try #require(made.json["secret"] as? String)
            }
            func record(_ key: String) throws {
                for number in 0..<6 {
                    let subject = number < 4 ? "a" : "b\(number)"
                    try BlockingHTTPClient(port: service.port, key: key).requestUntilReady(
                        "POST", "/v1/events", #"{"subject":"\#(subject)","meters":{"tokens":1}}"#)
                }
            }
            func next(_ key: String, _ path: String) throws -> (status: Int, text: String) {
                let answer = try BlockingHTTPClient(port: service.port, key: key).get(path)
                return (answer.status, answer.json["next"] as? String ?? answer.text)
            }
            let old = try makeKey()
            let reader = try StreamReader(port: service.port, key: old)
            try record(old)
            _ = try reader.next(3)
            let paths = ["/v1/events?limit=2", "/v1/leaderboards/tokens?limit=2"]
            let cursors = try paths.map { try next(old, $0).text }
            for (path, cursor) in zip(paths, cursors) {
                #expect(try next(old, "\(path)&cursor=\(cursor)").status == 200, "\(path)")
            }
            let again = try StreamReader(port: service.port, key: old, lastID: reader.lastID)
            #expect(try again.next(3).count == 3)

            #expect(try host.request("DELETE", "/v1/workspaces/acme", nil, "").status == 202)
            let new = try makeKey()
            try record(new)
            for (path, cursor) in zip(paths, cursors) {
                let refused = try next(new, "\(path)&cursor=\(cursor)")
                #expect(refused.status == 400 && refused.text.contains("invalid_cursor"), "\(path)")
            }
            for id in [reader.lastID, String(reader.lastID.prefix { $0 != "." }) + ".1"] {
                let gone = try StreamReader(port: service.port, key: new, lastID: id)
                #expect(gone.status == 410, "\(id)")
            }
        }
    }

    /// All that is left of it in Redis is that it was deleted.
    @Test func `A workspace that was deleted comes back without being forced`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1"])
            try service.start()
            let host = service.client()
            try host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            let key =
                try host.requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#
                ).json["secret"] as? String
            func record() throws -> [String: Int]? {
                try BlockingHTTPClient(port: service.port, key: key).requestUntilReady(
                    "POST", "/v1/events", #"{"subject":"a","meters":{"tokens":7}}"#
                ).json["totals"] as? [String: Int]
            }
            #expect(try record() == ["tokens": 7])
            try BlockingHTTPClient(port: service.port, key: key).requestUntilReady(
                "PUT", "/v1/prices", #"{"models":{"zebra":{"input":"1"}}}"#)
            #expect(service.terminate() == 0)
            let backup = "\(service.folder)/backup"
            try FileManager.default.copyItem(atPath: "\(service.data)/rollups", toPath: backup)
            try service.start()
            let gone = try service.client().request("DELETE", "/v1/workspaces/acme", nil, "")
            #expect(gone.status == 202)
            try waitUntil("the deletion") {
                (try? service.redis("HEXISTS t1:{@}:workspaces acme"))?.hasPrefix(":0") == true
            }
            let left = try service.redis("KEYS t1:{acme*").split(separator: "\r\n")
                .filter { $0.hasPrefix("t1:") }
            #expect(left.count == 1 && left.allSatisfy { $0.hasSuffix(":rules") }, "\(left)")
            #expect(service.terminate() == 0)
            let restored = try TallyProcess.run(
                ["restore", backup, "--workspace", "acme", "--data", service.data])
            #expect(restored.status == 0, "\(restored)")
            try service.start()
            #expect(try record() == ["tokens": 14])
            let prices = try BlockingHTTPClient(port: service.port, key: key).get("/v1/prices")
            #expect(prices.text.contains("zebra"))
            #expect(service.terminate() == 0)
            let verified = try TallyProcess.run(["verify", "--data", service.data])
            #expect(verified.status == 0, "\(verified)")
        }
    }

    /// It could be a failure that took an old Redis's place: the files are all that there is then.
    @Test func `A Redis that has lost a workspace takes no file with it`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--flush-interval", "1"])
            try service.start()
            let host = service.client()
            try host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            try host.requestUntilReady(
                "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#)
            let headers = ["X-Tally-Workspace": "acme"]
            let sent = try host.request(
                "POST", "/v1/events", Array(#"{"subject":"a","meters":{"tokens":1}}"#.utf8),
                "application/json", headers)
            #expect(sent.status == 200)
            let state = "\(service.data)/rollups/acme/state.json"
            try waitUntil("a file") { FileManager.default.fileExists(atPath: state) }
            // It does not go on as if nobody had ever used anything.
            try service.loseData { try service.redis("FLUSHALL") }
            sleep(5)
            #expect(FileManager.default.fileExists(atPath: state))
            #expect(try host.post("/v1/events", #"{"subject":"a"}"#).status == 503)
            #expect(service.terminate() == 0)
            #expect(FileManager.default.fileExists(atPath: state))
            try service.start()
            let again = service.client()
            // Nor does one of the same id that is made and deleted since.
            let kept = FileManager.default.contents(atPath: state)
            try again.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            #expect(try again.request("DELETE", "/v1/workspaces/acme", nil, "").status == 202)
            try waitUntil("the deletion") {
                (try? service.redis("HEXISTS t1:{@}:workspaces acme"))?.hasPrefix(":0") == true
            }
            #expect(FileManager.default.contents(atPath: state) == kept)
            #expect(service.terminate() == 0)
            let restored = try TallyProcess.run(
                ["restore", "\(service.data)/rollups", "--data", service.data, "--force"])
            #expect(restored.status == 0 && restored.output.contains("acme"), "\(restored)")
        }
    }

    /// One process does not run, and another stands still, while a workspace is deleted, which leaves its files in their folders.
    @Test func `A process that missed a deletion removes the files that it has of the workspace`()
        async throws
    {
        let redis = try RedisServer(.appendOnly(fsync: "everysec"))
        try await blocking {
            let services = try (0..<3).map { _ in
                try TallyProcess(
                    arguments: ["--redis", "unix://\(redis.socketPath)", "--flush-interval", "1"])
            }
            for service in services { try service.start() }
            let host = services[0].client()
            func write(_ name: String, to workspaces: [String]) throws {
                for id in workspaces {
                    try host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"\#(id)"}"#)
                    let made = try host.requestUntilReady(
                        "POST", "/v1/keys", #"{"role":"admin","workspace":"\#(id)"}"#)
                    let client = BlockingHTTPClient(
                        port: services[0].port, key: made.json["secret"] as? String)
                    try client.requestUntilReady(
                        "PUT", "/v1/subjects/\(name)", #"{"email":"\#(name)@example.com"}"#)
                    try client.requestUntilReady(
                        "POST", "/v1/events", #"{"subject":"\#(name)","meters":{"tokens":1}}"#)
                }
            }
            func states(_ service: TallyProcess) -> [String] {
                ["again", "gone", "lost"].map { id in
                    let path = "\(service.data)/rollups/\(id)"
                    guard FileManager.default.fileExists(atPath: path) else { return "\(id): none" }
                    let text = (try? String(contentsOfFile: "\(path)/state.json", encoding: .utf8))
                    let found = ["okapi", "zebra"].filter { text?.contains("\($0)@") == true }
                    return "\(id): \(found.joined(separator: ", "))"
                }
            }
            try write("zebra", to: ["again", "gone", "lost"])
            let first = ["again: zebra", "gone: zebra", "lost: zebra"]
            for service in services { try waitUntil("the files") { states(service) == first } }
            #expect(services[1].terminate() == 0)
            let stopped = try #require(services[2].processID)
            freeze(stopped)
            for id in ["again", "gone"] {
                let deleted = try host.request("DELETE", "/v1/workspaces/\(id)", nil, "")
                #expect(deleted.status == 202)
            }
            // As if this Redis had never had it: its files are all that there is.
            _ = try redis.request("HDEL t1:{@}:workspaces lost")
            try write("okapi", to: ["again"])
            try waitUntil("the deletion") { states(services[0])[1] == "gone: none" }
            Glibc.kill(stopped, SIGCONT)
            try services[1].start()
            let last = ["again: okapi", "gone: none", "lost: zebra"]
            for service in services {
                // What others have removed is looked for every ten seconds.
                for _ in 0..<600 where states(service) != last { usleep(100_000) }
                #expect(states(service) == last)
            }
            #expect(services[1].terminate() == 0)
            #expect(!services[1].log.contains("of other data"))
            let restored = try makeTemporaryFolder()
            defer { removeFolder(restored) }
            let found = try TallyProcess.run(
                ["restore", "\(services[1].data)/rollups", "--data", "\(restored)/data"])
            #expect(found.status == 0 && !found.output.contains("gone"), "\(found)")
        }
    }
}
