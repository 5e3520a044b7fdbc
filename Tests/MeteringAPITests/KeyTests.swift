// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Metering
import TestSupport
import Testing

/// The keys of a workspace: listing and revoking them.
@Suite struct KeyTests {
    @Test func `A key is revoked however its record is written`() async throws {
        try await withAPI { _, api, redis in
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            let secret = try await WorkspaceTests.makeKey(
                api, #"{"role":"reader","name":"x","workspace":"acme"}"#)
            let read = WorkspaceTests.request(.get, "/v1/prices", secret: secret)
            #expect(await api.send(read).status == 200)
            let listed = await api.send(
                WorkspaceTests.request(.get, "/v1/keys", headers: ["X-Tally-Workspace": "acme"]))
            let id = try #require(
                (listed.json["keys"] as? [[String: Any]])?.first?["id"] as? String)
            let script =
                "local r=cjson.decode(redis.call('HGET','t1:{@}:keys',ARGV[1])) local p={} "
                + "for k,v in pairs(r) do p[#p+1]=cjson.encode(k)..': '..cjson.encode(v) end "
                + "redis.call('HSET','t1:{@}:keys',ARGV[1],'{'..table.concat(p,', ')..'}') return 1"
            #expect(try redis.request("EVAL \"\(script)\" 0 \(id)").hasPrefix(":1"))
            let key = WorkspaceTests.request(
                .get, "/v1/keys/\(id)", headers: ["X-Tally-Workspace": "acme"])
            #expect(await api.send(key).status == 200)
            let revoked = await api.send(
                WorkspaceTests.request(
                    .delete, "/v1/keys/\(id)", headers: ["X-Tally-Workspace": "acme"]))
            #expect(revoked.status == 204, "\(revoked.text)")
            #expect(await api.send(key).status == 404)
            #expect(await api.send(read).status == 401)
            #expect(try redis.request("HLEN t1:{@}:keys:used") == ":0\r\n")
        }
    }

    @Test func `A key is looked up again when nobody has looked at Redis for a while`() async throws
    {
        try await withAPI { host, api, redis in
            let other = await Harness(redis, on: host.loop)
            let secret = try await WorkspaceTests.makeKey(api, #"{"role":"reader","name":"x"}"#)
            let read = WorkspaceTests.request(.get, "/v1/prices", secret: secret)
            #expect(await other.send(read).status == 200)
            let listed = await api.get("/v1/keys")
            let id = try #require(
                (listed.json["keys"] as? [[String: Any]])?.first?["id"] as? String)
            #expect(await api.send(WorkspaceTests.request(.delete, "/v1/keys/\(id)")).status == 204)
            for milliseconds in [1001, -1001] {
                other.clock.set(noon + milliseconds)
                #expect(await other.send(read).status == 401)
            }
            // Without Redis nobody can say whether it is still in force.
            let late = try await WorkspaceTests.makeKey(api, #"{"role":"reader","name":"y"}"#)
            let reading = WorkspaceTests.request(.get, "/v1/session", secret: late)
            #expect(await other.send(reading).status == 200)
            redis.kill()
            other.clock.set(noon + 5000)
            #expect(await other.send(reading).status == 503)
            await other.queries.stop()
        }
    }

    @Test func `Pages of keys leave none out while others are revoked`() async throws {
        try await withAPI { _, api, redis in
            var made: [String] = []
            // Four of each millisecond.
            for number in 0..<12 {
                api.clock.set(noon + number / 4)
                let key = await api.send(
                    .post, "/v1/keys", #"{"role":"reader","name":"\#(number)"}"#)
                made.append(try #require(key.json["id"] as? String))
            }
            func page(_ query: String) async throws -> (ids: [String], next: String?) {
                let page = await api.get("/v1/keys", query: query)
                #expect(page.status == 200, "\(page.text)")
                let keys = try #require(page.json["keys"] as? [[String: Any]])
                return (keys.compactMap { $0["id"] as? String }, page.json["next"] as? String)
            }
            let all = try await page("limit=12")
            #expect(Set(all.ids) == Set(made) && all.ids.count == 12 && all.next == nil)
            var (seen, cursor): ([String], String?) = ([], nil)
            repeat {
                let (ids, next) = try await page("limit=3" + (cursor.map { "&cursor=\($0)" } ?? ""))
                seen += ids
                for id in ids.prefix(2) {
                    let path = "/v1/keys/\(id)"
                    #expect(await api.send(WorkspaceTests.request(.delete, path)).status == 204)
                }
                cursor = next
            } while cursor != nil
            #expect(seen == all.ids)
            // A record that is gone ends no list.
            let left = try await page("limit=12").ids
            #expect(left == [2, 5, 8, 11].map { all.ids[$0] })
            try redis.request("HDEL t1:{@}:keys \(left[0]) \(left[1])")
            let first = try await page("limit=2")
            #expect(first.ids.isEmpty)
            let next = try #require(first.next)
            #expect(try await page("limit=2&cursor=\(next)").ids == Array(left.suffix(2)))
        }
    }

    @Test func `The cookie of a session may stand behind other fields of cookies`() async throws {
        try await withAPI { _, api, _ in
            let secret = try await WorkspaceTests.makeKey(api, #"{"role":"reader","name":"x"}"#)
            let signedIn = await api.send(
                WorkspaceTests.request(.post, "/v1/session", secret: secret))
            let field = try #require(signedIn.headers["set-cookie"])
            let cookie = try #require(field.split(separator: ";").first).description
            for cookies in [["theme=dark", cookie], [cookie, "theme=dark"], ["a=b; \(cookie)"]] {
                let request = HTTPRequest(
                    method: .get, path: "/v1/session",
                    headers: HTTPHeaders(cookies.map { (name: "Cookie", value: $0) }))
                let answer = await api.send(request)
                #expect(answer.json["role"] as? String == "reader", "\(cookies)")
            }
        }
    }

    @Test func `Sessions take no parameters, and names of keys no control characters`() async throws
    {
        try await withAPI { _, api, _ in
            for method in [HTTPMethod.post, .get, .delete] {
                try await api.expectRefusal(
                    .authorized(method, "/v1/session", query: "x=1"), 400, "unknown_parameter",
                    "\(method)")
            }
            for name in [#"a\nb"#, #"\u007f"#, #"a\u0085"#] {
                let answer = await api.send(
                    .post, "/v1/keys", #"{"role":"reader","name":"\#(name)"}"#)
                #expect(answer.status == 422 && answer.code == "invalid_text", "\(answer.text)")
            }
            for name in ["", "Khóa của Ánh", #"a \"b\""#] {
                let answer = await api.send(
                    .post, "/v1/keys", #"{"role":"reader","name":"\#(name)"}"#)
                #expect(answer.status == 201, "\(answer.text)")
            }
        }
    }
}
