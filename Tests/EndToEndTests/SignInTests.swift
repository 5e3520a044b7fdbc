// SPDX-License-Identifier: Apache-2.0

import Cryptography
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    private static func token(_ claims: String, _ key: String) -> String {
        let parts = [#"{"alg":"HS256"}"#, claims].map { base64URLEncoded(Array($0.utf8)) }
        let message = parts[0] + Array(".".utf8) + parts[1]
        let signature = base64URLEncoded(hmacSHA256(of: message, key: Array(key.utf8)))
        return String(decoding: message + Array(".".utf8) + signature, as: UTF8.self)
    }

    private static func set(_ key: String) -> String {
        let text = String(decoding: base64URLEncoded(Array(key.utf8)), as: UTF8.self)
        return #"{"keys":[{"kty":"oct","k":"\#(text)"}]}"#
    }

    @Test func `Tokens are accepted by the keys of a file, which may change while it runs`()
        async throws
    {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let (old, new) = (String(repeating: "o", count: 32), String(repeating: "n", count: 32))
            let file = "\(folder)/keys.json"
            try Self.set(old).write(toFile: file, atomically: true, encoding: .utf8)
            let service = try TallyProcess(arguments: [
                "--jwt-keys", file, "--jwt-audience", "tally", "--threads", "2",
            ])
            try service.start()
            let expires = Int(Date().timeIntervalSince1970) + 300
            let claims = #"{"sub":"ann","aud":"tally","exp":\#(expires)}"#
            _ = try service.client().post(
                "/v1/events", #"{"subject":"ann","meters":{"messages":1}}"#)
            func status(_ key: String, _ path: String) throws -> Int {
                try BlockingHTTPClient(port: service.port, key: Self.token(claims, key))
                    .get(path).status
            }
            #expect(try status(old, "/v1/subjects/ann") == 200)
            #expect(try status(old, "/v1/subjects/bob") == 403)
            // A browser would not keep what is longer.
            for (count, status) in [(2000, 200), (3000, 422)] {
                let padding = String(repeating: "x", count: count)
                let long =
                    #"{"sub":"ann","aud":"tally","exp":\#(expires),"x":"\#(padding)"}"#
                let answer = try BlockingHTTPClient(port: service.port, key: Self.token(long, old))
                    .request("POST", "/v1/session", [], "application/json")
                #expect(answer.status == status, "\(answer.text)")
                #expect((answer.headers["set-cookie"] != nil) == (status == 200))
            }
            #expect(try status(old, "/v1/prices") == 403)
            #expect(try status(new, "/v1/subjects/ann") == 401)
            try Self.set(new).write(toFile: file, atomically: true, encoding: .utf8)
            // Asked for again and again with a key that is not known, it would refuse the address.
            try waitUntil("the new key") { service.log.contains("were read again") }
            #expect(try status(new, "/v1/subjects/ann") == 200)
            #expect(try status(old, "/v1/subjects/ann") == 401)
            // A file that is wrong changes nothing.
            try "{".write(toFile: file, atomically: true, encoding: .utf8)
            try waitUntil("the complaint") { service.log.contains("stay as they were") }
            #expect(try status(new, "/v1/subjects/ann") == 200)
            // Its keys were withdrawn: none is trusted any more.
            try #"{"keys":[]}"#.write(toFile: file, atomically: true, encoding: .utf8)
            try waitUntil("no keys") { service.log.contains("no token is accepted") }
            #expect(try status(new, "/v1/subjects/ann") == 401)
            // What could not be read is tried again, also when nothing that can be seen of it has changed, as by chmod.
            let date = [FileAttributeKey.modificationDate: Date(timeIntervalSince1970: 1e9)]
            let next = "\(folder)/next.json"
            try String(repeating: "x", count: Self.set(old).utf8.count).write(
                toFile: next, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes(date, ofItemAtPath: next)
            let complaints = service.log.split(separator: "stay as they were").count
            #expect(rename(next, file) == 0)
            try waitUntil("the next complaint") {
                service.log.split(separator: "stay as they were").count > complaints
            }
            let readings = service.log.split(separator: "were read again").count
            try Self.set(old).write(toFile: file, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes(date, ofItemAtPath: file)
            try waitUntil("the keys") {
                service.log.split(separator: "were read again").count > readings
            }
            #expect(try status(old, "/v1/subjects/ann") == 200)
        }
    }

    @Test func `Keys of tokens in a pipe or a folder are refused, not waited for`() async throws {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            try #require(mkfifo("\(folder)/pipe", 0o600) == 0)
            for (file, reason) in [
                ("\(folder)/pipe", "it is not a regular file"), (folder, "it is a folder"),
            ] {
                let run = try TallyProcess.run(
                    [
                        "serve", "--data", "\(folder)/data", "--listen",
                        "127.0.0.1:\(try freePort())", "--jwt-keys", file,
                    ], launcher: ["timeout", "-k", "5", "60"])
                #expect(run.status == 1, "\(run)")
                #expect(run.errors.contains("keys of tokens \(file): \(reason)"), "\(run)")
            }
        }
    }

    @Test func `Wrong secrets hold up no token, and a key may look like one`() async throws {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let secret = String(repeating: "s", count: 32)
            let file = "\(folder)/keys.json"
            try Self.set(secret).write(toFile: file, atomically: true, encoding: .utf8)
            let dotted = "a.key.for-tests-only"
            let service = try TallyProcess(
                arguments: ["--jwt-keys", file], environment: ["TALLY_ADMIN_KEY": dotted])
            try service.start()
            func status(_ key: String) throws -> Int {
                try BlockingHTTPClient(port: service.port, key: key).get("/v1/subjects/ann").status
            }
            #expect(try status(dotted) == 404)
            let now = Int(Date().timeIntervalSince1970)
            let valid = Self.token(#"{"sub":"ann","exp":\#(now + 300)}"#, secret)
            // What is over is no guess; what is wrongly signed is one.
            let over = Self.token(#"{"sub":"ann","exp":\#(now - 300)}"#, secret)
            for _ in 0..<101 { #expect(try status(over) == 401) }
            let forged = Self.token(#"{"sub":"ann","exp":\#(now + 300)}"#, dotted)
            for _ in 0..<100 { #expect(try status(forged) == 401) }
            #expect(try status(forged) == 429)
            #expect(try status("tally_0123456789abcdef") == 429)
            #expect(try status(valid) == 404)
            #expect(try status(dotted) == 404)
        }
    }

    @Test func `Pages of the origins that are configured may call, and no others`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: [
                "--cors-origins", "https://chat.example.com,http://localhost:3000",
            ])
            try service.start()
            let client = service.client()
            let event = #"{"subject":"ann","meters":{"messages":1}}"#
            for (origin, isAllowed) in [
                ("https://chat.example.com", true), ("http://localhost:3000", true),
                ("https://evil.example.com", false), ("null", false),
            ] {
                let answer = try client.post("/v1/events", event, headers: ["Origin": origin])
                #expect(answer.status == 200)
                let allowed = answer.headers["access-control-allow-origin"]
                #expect(allowed == (isAllowed ? origin : nil))
                #expect(answer.headers["vary"] == "Origin")
                let health = try client.request(
                    "GET", "/healthz", nil, "", ["Origin": origin])
                #expect(
                    health.headers["access-control-allow-origin"] == (isAllowed ? origin : nil))
                let asked = try client.request(
                    "OPTIONS", "/v1/events", nil, "",
                    ["Origin": origin, "Access-Control-Request-Method": "POST"])
                #expect(asked.status == 204)
                #expect(
                    (asked.headers["access-control-allow-headers"]?.contains("If-None-Match")
                        ?? false) == isAllowed)
                #expect(
                    (asked.headers["access-control-allow-methods"]?.contains("POST") ?? false)
                        == isAllowed)
            }
        }
    }

    @Test func `A key that is revoked is refused by every process, soon`() async throws {
        try await blocking {
            let first = try TallyProcess(arguments: ["--threads", "2"])
            try first.start()
            let second = try TallyProcess(arguments: [
                "--redis", "unix://\(first.data)/redis.sock", "--threads", "2",
            ])
            try second.start()
            let made = try first.client().post("/v1/keys", #"{"role":"reader","name":"x"}"#)
            let secret = try #require(made.json["secret"] as? String)
            let id = try #require(made.json["id"] as? String)
            func status(_ service: TallyProcess) throws -> Int {
                try BlockingHTTPClient(port: service.port, key: secret).get("/v1/prices").status
            }
            for service in [first, second] { #expect(try status(service) == 200) }
            #expect(try first.client().request("DELETE", "/v1/keys/\(id)", nil, "").status == 204)
            try waitUntil("the refusal") { (try? status(second)) == 401 }
            #expect(try status(first) == 401)
        }
    }

    @Test func `Keys end, and those of tokens change, where this Redis may not be used`()
        async throws
    {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let file = "\(folder)/keys.json"
            try Self.set(String(repeating: "o", count: 32)).write(
                toFile: file, atomically: true, encoding: .utf8)
            let first = try TallyProcess(arguments: ["--threads", "1"])
            try first.start()
            let socket = "\(first.data)/redis.sock"
            try first.redis("ACL SETUSER tally on >right ~* +@all -xadd")
            let second = try TallyProcess(arguments: [
                "--redis", "unix://tally:right@\(socket)", "--threads", "1", "--jwt-keys", file,
            ])
            try second.launch()
            try waitUntil("it is told") {
                (try? second.client().get("/readyz"))?.text.contains("XADD") == true
            }
            let made = try first.client().post("/v1/keys", #"{"role":"reader","name":"x"}"#)
            let secret = try #require(made.json["secret"] as? String)
            let id = try #require(made.json["id"] as? String)
            func status() throws -> Int {
                try BlockingHTTPClient(port: second.port, key: secret).get("/v1/prices").status
            }
            #expect(try status() == 200)
            #expect(try first.client().request("DELETE", "/v1/keys/\(id)", nil, "").status == 204)
            try waitUntil("the refusal") { (try? status()) == 401 }
            try Self.set(String(repeating: "n", count: 32)).write(
                toFile: file, atomically: true, encoding: .utf8)
            try waitUntil("the new key") { second.log.contains("were read again") }
        }
    }
}
