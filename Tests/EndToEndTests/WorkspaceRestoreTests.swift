// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Several workspaces through snapshots, `tally restore` and `tally verify`.
extension EndToEnd {
    /// A service with three workspaces in three zones, each with something of everything.
    private struct Spaces {
        static let names = ["acme", "beta", "default"]
        static let zones = ["acme": "Asia/Ho_Chi_Minh", "beta": "America/New_York"]

        var secrets: [String: String] = [:]

        /// Makes and fills the workspaces.
        init(_ service: TallyProcess, seed: UInt64) throws {
            var random = SeededGenerator(seed)
            for (name, zone) in Self.zones.sorted(by: { $0.key < $1.key }) {
                try Self.ask(
                    service, "POST", "/v1/workspaces",
                    #"{"id":"\#(name)","time_zone":"\#(zone)","currency":"VND","hot_days":3}"#)
            }
            try Self.ask(service, "PATCH", "/v1/workspaces/default", #"{"currency":"EUR"}"#)
            try Self.ask(
                service, "PATCH", "/v1/workspaces/beta",
                #"{"guests":false,"month_reset":"calendar"}"#)
            for name in Self.names {
                for role in ["admin", "reader"] {
                    let made = try Self.ask(
                        service, "POST", "/v1/keys",
                        #"{"role":"\#(role)","name":"ä\"\\🪙","workspace":"\#(name)"}"#)
                    if role == "admin" { secrets[name] = made["secret"] as? String }
                }
                try fill(name, service, &random)
            }
        }

        private func fill(
            _ name: String, _ service: TallyProcess, _ random: inout SeededGenerator
        ) throws {
            let key = secrets[name]
            let rate = Int.random(in: 1...9, using: &random)
            for (method, path, body) in [
                ("PUT", "/v1/prices", #"{"credit_rate":"\#(rate)","models":{"m":{"input":"2"}}}"#),
                (
                    "PUT", "/v1/limits",
                    #"{"limits":[{"name":"\#(name)","meter":"tokens","window":"month","user":9000}]}"#
                ),
                ("PUT", "/v1/subjects/u1", #"{"email":"\#(name)@example.com"}"#),
                ("PUT", "/v1/credits/u1/allowance", #"{"monthly_allowance":"\#(rate)"}"#),
                ("POST", "/v1/credits/u2/grants", #"{"id":"g","credits":"3.5"}"#),
            ] { try Self.ask(service, method, path, body, key: key) }
            let now = Int(Date().timeIntervalSince1970)
            let lines = (0..<120).map { number in
                let age = Int.random(in: 0...6 * 86_400, using: &random)
                let time = Date(timeIntervalSince1970: Double(now - age)).ISO8601Format()
                let subject = Int.random(in: 1...9, using: &random)
                let tokens = Int.random(in: 0...99, using: &random)
                return #"{"id":"e\#(number)","subject":"u\#(subject)","time":"\#(time)","#
                    + #""model":"m","usage":{"input_tokens":\#(tokens),"output_tokens":1}}"#
            }
            let client = BlockingHTTPClient(port: service.port, key: key)
            let answer = try client.post(
                "/v1/events", lines.joined(separator: "\n"), type: "application/x-ndjson")
            guard answer.json["counted"] as? Int == 120 else {
                throw Failure(description: answer.text)
            }
        }

        /// Asks, again while the workspace is not ready.
        @discardableResult private static func ask(
            _ service: TallyProcess, _ method: String, _ path: String, _ body: String,
            key: String? = nil
        ) throws -> [String: Any] {
            try BlockingHTTPClient(port: service.port, key: key ?? TallyProcess.key)
                .requestUntilReady(method, path, body).json
        }

        /// All that can be read of the workspaces with their own keys, as text.
        func reading(_ service: TallyProcess) throws -> [String] {
            let today = Date()
            let from = today.addingTimeInterval(-8 * 86_400).ISO8601Format().prefix(10)
            let to = today.addingTimeInterval(86_400).ISO8601Format().prefix(10)
            var lines: [String] = []
            for name in Self.names {
                let client = BlockingHTTPClient(port: service.port, key: secrets[name])
                for path in [
                    "/v1/workspace", "/v1/keys", "/v1/prices", "/v1/limits", "/v1/credit-policy",
                    "/v1/subjects", "/v1/credits/u1", "/v1/credits/u2",
                    "/v1/leaderboards/tokens?window=lifetime",
                    "/v1/leaderboards/credits_micro?window=\(from)..\(to)",
                    "/v1/export/series?format=csv&meter=tokens&bucket=day&from=\(from)&to=\(to)",
                    "/v1/export/balances?format=csv", "/v1/audit?limit=1000",
                    "/v1/export/audit?format=ndjson",
                ] {
                    var answer = try client.get(path)
                    for _ in 0..<200 where answer.status == 503 {
                        usleep(20_000)
                        answer = try client.get(path)
                    }
                    // When a key was used last is in no file.
                    let text = answer.text.replacing(/"last_used_at":("[^"]*"|null)/, with: "")
                    lines.append("\(name) \(path): \(answer.status) \(text)")
                }
            }
            return lines
        }
    }

    @Test func `All workspaces come back with their settings, keys and zones, and verify`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let spaces = try Spaces(service, seed: 11)
            let before = try spaces.reading(service)
            #expect(before.allSatisfy { $0.contains(": 200 ") }, "\(before)")
            #expect(service.terminate() == 0)
            let clean = "no differences in 3 workspaces: acme, beta, default\n"
            let verified = try TallyProcess.run(["verify", "--data", service.data])
            #expect(verified.status == 0 && verified.errors.hasSuffix(clean), "\(verified)")

            let second = try TallyProcess(arguments: ["--threads", "2"])
            let words = ["restore", "\(service.data)/rollups", "--data", second.data]
            let restored = try TallyProcess.run(words)
            #expect(restored.status == 0, "\(restored)")
            for name in Spaces.names {
                #expect(restored.output.contains("restored \(name): "), "\(restored)")
            }
            #expect(restored.output.contains(" accounts, 2 keys\n"), "\(restored)")
            let again = try TallyProcess.run(["verify", "--data", second.data])
            #expect(again.status == 0 && again.errors.hasSuffix(clean), "\(again)")
            // What is there is not taken away, and what was brought back can be brought back anew.
            let refused = try TallyProcess.run(words)
            #expect(refused.status == 1 && refused.errors.contains("--force"), "\(refused)")
            let forced = try TallyProcess.run(words + ["--force"])
            #expect(forced.status == 0, "\(forced)")
            try second.start()
            let after = try spaces.reading(second)
            #expect(zip(after, before).filter { $0 != $1 }.map { "\($0)\n\($1)" } == [])
            #expect(second.terminate() == 0)
            let last = try TallyProcess.run(["verify", "--data", second.data])
            #expect(last.status == 0, "\(last)")
        }
    }

    @Test func `A restore takes the place of another workspace of the same id`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let spaces = try Spaces(service, seed: 14)
            let before = try spaces.reading(service)
            #expect(service.terminate() == 0)
            let second = try TallyProcess(arguments: ["--threads", "2"])
            try second.start()
            let other = try Spaces(second, seed: 15)
            // A day that the snapshots do not have.
            let past = Date(timeIntervalSinceNow: -20 * 86_400).ISO8601Format()
            try BlockingHTTPClient(port: second.port, key: other.secrets["acme"])
                .requestUntilReady(
                    "POST", "/v1/events?backfill=true",
                    #"{"id":"past","subject":"u1","time":"\#(past)","meters":{"tokens":1}}"#)
            #expect(second.terminate() == 0)
            let restored = try TallyProcess.run(
                ["restore", "\(service.data)/rollups", "--data", second.data, "--force"])
            #expect(restored.status == 0, "\(restored)")
            let acme = restored.output.split(separator: "\n").first { $0.contains(" acme: ") }
            #expect(acme?.contains("; removed ") == true, "\(restored)")
            try second.start()
            let after = try spaces.reading(second)
            #expect(zip(after, before).filter { $0 != $1 }.map { "\($0)\n\($1)" } == [])
            for name in Spaces.names {
                let client = BlockingHTTPClient(port: second.port, key: other.secrets[name])
                #expect(try client.get("/v1/workspace").status == 401)
                let tags = try second.redis("KEYS t1:{\(name)*").split(separator: "\r\n")
                    .filter { $0.hasPrefix("t1:") }.map { $0.prefix { $0 != "}" } }
                #expect(Set(tags).count == 1, "\(tags)")
            }
            #expect(second.terminate() == 0)
            let verified = try TallyProcess.run(["verify", "--data", second.data])
            #expect(verified.status == 0, "\(verified)")
        }
    }

    /// The restore has written keys and data, and not the entry that comes last.
    @Test func `A restore that broke off can be made again over a workspace that was made since`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1"])
            try service.start()
            let spaces = try Spaces(service, seed: 16)
            let before = try spaces.reading(service)
            #expect(service.terminate() == 0)
            let rollups = "\(service.data)/rollups"
            let second = try TallyProcess(arguments: ["--threads", "1"])
            #expect(
                try TallyProcess.run(["restore", rollups, "--data", second.data]).status == 0)
            try second.start()
            try second.redis("HDEL t1:{@}:workspaces acme")
            try second.redis("INCR t1:{@}:version")
            let old = try #require(
                second.redis("KEYS t1:{acme@*}:meta").split(separator: "\r\n").last)
            try second.redis("HSET \(old) restoring x")
            let host = second.client()
            while try host.get("/v1/workspaces/acme").status != 404 { usleep(10_000) }
            try host.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            let late =
                try host.requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"reader","workspace":"acme"}"#
                ).json["secret"] as? String
            #expect(second.terminate() == 0)

            let words = ["restore", rollups, "--data", second.data]
            #expect(try TallyProcess.run(words).status == 1)
            let forced = try TallyProcess.run(words + ["--force"])
            #expect(forced.status == 0, "\(forced)")
            try second.start()
            let after = try spaces.reading(second)
            #expect(zip(after, before).filter { $0 != $1 }.map { "\($0)\n\($1)" } == [])
            let client = BlockingHTTPClient(port: second.port, key: late)
            #expect(try client.get("/v1/workspace").status == 401)
            // What the first restore has left is found within ten seconds.
            func tags() throws -> Set<Substring> {
                // That it is gone stays in the rules.
                let names = try second.redis("KEYS t1:{acme*").split(separator: "\r\n")
                    .filter { $0.hasPrefix("t1:") && !$0.hasSuffix(":rules") }
                return Set(names.map { $0.prefix { $0 != "}" } })
            }
            for _ in 0..<600 where try tags().count != 1 { usleep(100_000) }
            #expect(try tags().count == 1)
            #expect(second.terminate() == 0)
            let verified = try TallyProcess.run(["verify", "--data", second.data])
            #expect(verified.status == 0, "\(verified)")
        }
    }

    @Test func `Of a key that came after the snapshots nothing is left`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1", "--flush-interval", "1"])
            try service.start()
            let spaces = try Spaces(service, seed: 12)
            #expect(service.terminate() == 0)
            let backup = "\(service.folder)/backup"
            try FileManager.default.copyItem(atPath: "\(service.data)/rollups", toPath: backup)
            try service.start()
            let client = service.client()
            let late =
                try client.post(
                    "/v1/keys", #"{"role":"reader","workspace":"acme"}"#
                ).json["secret"] as? String
            func status() throws -> Int {
                try BlockingHTTPClient(port: service.port, key: late).get("/v1/workspace").status
            }
            #expect(try status() == 200)
            #expect(service.terminate() == 0)
            let restored = try TallyProcess.run(
                ["restore", backup, "--workspace", "acme", "--force", "--data", service.data])
            #expect(restored.status == 0, "\(restored)")
            #expect(!restored.output.contains("beta"))
            try service.start()
            #expect(try status() == 401)
            for name in Spaces.names {
                let kept = BlockingHTTPClient(port: service.port, key: spaces.secrets[name])
                #expect(try kept.get("/v1/workspace").json["id"] as? String == name)
            }
        }
    }

    @Test func `Workspaces that are named like folders of snapshots come back, too`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1"])
            try service.start()
            let client = service.client()
            for name in ["2026", "audit"] {
                try client.requestUntilReady("POST", "/v1/workspaces", #"{"id":"\#(name)"}"#)
                let made = try client.requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"writer","workspace":"\#(name)"}"#)
                try BlockingHTTPClient(port: service.port, key: made.json["secret"] as? String)
                    .requestUntilReady(
                        "POST", "/v1/events", #"{"subject":"a","meters":{"tokens":7}}"#)
            }
            #expect(service.terminate() == 0)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let restored = try TallyProcess.run(
                ["restore", "\(service.data)/rollups", "--data", "\(folder)/data"])
            #expect(restored.status == 0, "\(restored)")
            for data in [service.data, "\(folder)/data"] {
                let verified = try TallyProcess.run(["verify", "--data", data])
                #expect(
                    verified.errors == "no differences in 3 workspaces: 2026, audit, default\n",
                    "\(verified)")
            }
        }
    }

    @Test func `What is wrong in one workspace is told with its name, and nothing is restored`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1"])
            try service.start()
            _ = try Spaces(service, seed: 13)
            #expect(service.terminate() == 0)
            let rollups = "\(service.data)/rollups"
            let verify = ["verify", "--data", service.data]

            let path = "\(rollups)/acme/state.json"
            let whole = try Data(contentsOf: URL(filePath: path))
            var damaged = whole
            damaged[whole.count / 2] ^= 1
            try damaged.write(to: URL(filePath: path))
            let found = try TallyProcess.run(verify)
            #expect(found.status == 1 && found.errors.hasSuffix(" in acme\n"), "\(found)")
            #expect(found.output.split(separator: "\n").allSatisfy { $0.hasPrefix("acme: ") })
            #expect(try TallyProcess.run(verify + ["--workspace", "beta"]).status == 0)
            let second = try TallyProcess()
            let restore = ["restore", rollups, "--data", second.data]
            let refused = try TallyProcess.run(restore)
            #expect(refused.status == 1 && refused.errors.contains("acme/state.json"), "\(refused)")
            // The others are not there either.
            let alone = try TallyProcess.run(restore + ["--workspace", "beta"])
            #expect(alone.status == 0, "\(alone)")
            #expect(!FileManager.default.fileExists(atPath: "\(second.data)/rollups/default"))
            try whole.write(to: URL(filePath: path))

            // A name that leads elsewhere, in a file whose checksum fits.
            try SnapshotReading.forge(path) {
                $0.replacing(#""workspace":"acme""#, with: #""workspace":"../x""#)
            }
            let away = try TallyProcess.run(["restore", "\(rollups)/acme", "--data", second.data])
            #expect(away.status == 1, "\(away)")
            #expect(!FileManager.default.fileExists(atPath: "\(second.data)/x"))
            // A key of another workspace.
            try whole.write(to: URL(filePath: path))
            try SnapshotReading.forge(path) {
                $0.replacing(
                    #""workspace":"acme","birth""#, with: #""workspace":"beta","birth""#)
            }
            let foreign = try TallyProcess.run(restore + ["--workspace", "acme"])
            #expect(foreign.status == 1 && foreign.errors.contains("key"), "\(foreign)")
            try whole.write(to: URL(filePath: path))

            try service.start()
            let day = try #require(
                FileManager.default.enumerator(atPath: "\(rollups)/beta")?
                    .compactMap { $0 as? String }.filter {
                        $0.hasPrefix("2") && $0.hasSuffix(".json")
                    }
                    .sorted().last?.dropFirst(5).dropLast(5))
            let name = try #require(
                service.redis("KEYS t1:{beta@*}:rank:\(day):tokens")
                    .split(separator: "\r\n").last)
            try service.redis("ZINCRBY \(name) -5 u1")
            let changed = try TallyProcess.run(verify)
            #expect(changed.status == 1 && changed.errors.hasSuffix(" in beta\n"), "\(changed)")
            #expect(changed.output.split(separator: "\n").allSatisfy { $0.hasPrefix("beta: ") })
            let other = try TallyProcess.run(verify + ["--workspace", "acme"])
            #expect(other.status == 0 && other.errors.hasSuffix("no differences in acme\n"))
            #expect(try TallyProcess.run(verify + ["--workspace", "nowhere"]).status == 69)
            #expect(try TallyProcess.run(verify + ["--workspace", "../x"]).status == 2)
            #expect(try TallyProcess.run(restore + ["--workspace", "nowhere"]).status == 1)
        }
    }
}
