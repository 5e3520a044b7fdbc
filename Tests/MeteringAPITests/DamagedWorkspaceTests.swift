// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Metering
import TestSupport
import Testing

/// A workspace whose entry in Redis cannot be read is its own matter.
@Suite struct DamagedWorkspaceTests {
    private static func request(
        _ method: HTTPMethod, _ path: String, _ secret: String, _ body: String = "",
        in workspace: String = absent
    ) -> HTTPRequest {
        let fields = [
            "Authorization": "Bearer \(secret)", "Content-Type": "application/json",
            "X-Tally-Workspace": workspace,
        ]
        return .authorized(method, path, headers: fields, body: Array(body.utf8))
    }

    /// A key of a workspace that is there.
    private static func made(
        _ api: Harness, _ role: String, in name: String
    ) async throws -> (id: String, secret: String) {
        let made = await api.send(.post, "/v1/keys", #"{"role":"\#(role)","workspace":"\#(name)"}"#)
        #expect(made.status == 201, "\(made.text)")
        return (
            try #require(made.json["id"] as? String), try #require(made.json["secret"] as? String)
        )
    }

    @Test(arguments: [
        #"{"birth":"%","time_zone":"Mars/Olympus"}"#, #"{"birth":"%","made_by_a_later_one":1}"#,
        "nothing",
    ])
    func `Others call, and make and revoke keys, while it is not served`(
        entry: String
    ) async throws {
        try await withAPI { host, api, redis in
            for name in ["acme", "beta"] {
                let made = await api.send(.post, "/v1/workspaces", #"{"id":"\#(name)"}"#)
                #expect(made.status == 201, "\(made.text)")
            }
            let acme = try await Self.made(api, "admin", in: "acme")
            let beta = try await Self.made(api, "admin", in: "beta")
            let reader = try await Self.made(api, "reader", in: "beta")
            let before = try redis.request(#"HGET t1:{@}:workspaces acme"#)
            let line = try #require(before.split(separator: "\r\n").last.map(String.init))
            let birth = try #require(line.firstMatch(of: /"birth":"([0-9a-z]+)"/)?.1)
            let damaged = entry.replacing("%", with: birth).replacing("\"", with: "\\\"")
            try redis.request(#"HSET t1:{@}:workspaces acme "\#(damaged)""#)
            try redis.request("INCR t1:{@}:version")

            let fresh = await Harness(redis, on: host.loop)
            for api in [api, fresh] {
                // The process hears of it by whoever calls next.
                let new = await api.send(
                    Self.request(.post, "/v1/keys", beta.secret, #"{"role":"reader"}"#))
                #expect(new.status == 201, "\(new.text)")
                for (secret, workspace) in [(acme.secret, absent), (key, "acme")] {
                    let refused = await api.send(
                        Self.request(.get, "/v1/workspace", secret, in: workspace))
                    #expect(refused.status == 503, "\(refused.text)")
                    #expect(refused.code == "data_conflict", "\(refused.text)")
                }
                for (secret, workspace) in [(beta.secret, absent), (key, "beta"), (key, absent)] {
                    let own = await api.send(
                        Self.request(.get, "/v1/workspace", secret, in: workspace))
                    #expect(own.status == 200, "\(own.text)")
                }
            }
            #expect(await fresh.get("/v1/workspaces/acme").status == 503)
            #expect(await fresh.send(.patch, "/v1/workspaces/acme", "{}").status == 503)
            #expect(await api.send(Self.request(.delete, "/v1/workspaces/acme", key)).status == 503)
            let read = Self.request(.get, "/v1/prices", reader.secret)
            #expect(await api.send(read).status == 200)
            let revoked = await api.send(
                Self.request(.delete, "/v1/keys/\(reader.id)", beta.secret))
            #expect(revoked.status == 204, "\(revoked.text)")
            #expect(await api.send(read).status == 401)

            try redis.request(
                #"HSET t1:{@}:workspaces acme "\#(line.replacing("\"", with: "\\\""))""#)
            try redis.request("INCR t1:{@}:version")
            let again = await api.send(Self.request(.get, "/v1/workspace", acme.secret))
            #expect(again.json["id"] as? String == "acme", "\(again.text)")
            await fresh.queries.stop()
        }
    }

    @Test func `Without its entry default is not served, and the service is alive`() async throws {
        try await withAPI { host, _, redis in
            try redis.request("HSET t1:{@}:workspaces default nothing")
            try redis.request("INCR t1:{@}:version")
            let api = await Harness(redis, on: host.loop)
            let unknown = "tally_\(String(repeating: "0", count: 67))"
            _ = await api.send(Self.request(.get, "/v1/workspaces", key, in: "none"))
            #expect(await api.send(Self.request(.get, "/v1/prices", unknown)).status == 401)
            for path in ["/v1/prices", "/v1/workspaces"] {
                let refused = await api.get(path)
                #expect(refused.status == 503 && refused.code == "data_conflict", "\(refused.text)")
            }
            for path in ["/healthz", "/readyz"] { #expect(await api.get(path).status == 200) }
            await api.queries.stop()
        }
    }
}
