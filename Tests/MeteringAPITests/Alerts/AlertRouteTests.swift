// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

/// What the calls take and tell.
@Suite(.timeLimit(.minutes(15))) struct AlertRouteTests {
    static let to = #""to":{"webhook":"https://1.1.1.1/a"}"#
    static let refusals: [(body: String, status: Int, code: String)] = [
        ("[]", 422, "wrong_type"), ("{}", 422, "field_required"),
        (#"{"alerts":{}}"#, 422, "wrong_type"), (#"{"alerts":[],"x":1}"#, 400, "unknown_field"),
        (#"{"alerts":[1]}"#, 422, "wrong_type"), (#"{"alerts":"#, 400, "invalid_json"),
        of(#""name":"a","on":{"balance":true},"percent":[80]"#, 422, "field_required"),
        of(#""name":"a","on":{"balance":true},\#(to)"#, 422, "field_required"),
        of(#""name":"a","percent":[80],\#(to)"#, 422, "field_required"),
        of(#""on":{"balance":true},"percent":[80],\#(to)"#, 422, "field_required"),
        of(#""name":"A b","on":{"balance":true},"percent":[80],\#(to)"#, 422, "invalid_name"),
        of(#""name":"a","on":{},"percent":[80],\#(to)"#, 422, "invalid_value"),
        of(#""name":"a","on":{"balance":false},"percent":[80],\#(to)"#, 422, "wrong_type"),
        of(
            #""name":"a","on":{"balance":true,"budget":1},"percent":[80],\#(to)"#, 422,
            "invalid_value"),
        of(#""name":"a","on":{"x":1},"percent":[80],\#(to)"#, 400, "unknown_field"),
        of(#""name":"a","on":{"limit":"nope"},"percent":[80],\#(to)"#, 422, "unknown_limit"),
        of(#""name":"a","on":{"budget":"0"},"percent":[80],\#(to)"#, 422, "out_of_range"),
        of(#""name":"a","on":{"budget":"-1"},"percent":[80],\#(to)"#, 422, "out_of_range"),
        of(
            #""name":"a","on":{"budget":"1"},"subject":"u","percent":[80],\#(to)"#, 422,
            "unexpected_field"),
        of(#""name":"a","on":{"balance":true},"percent":[],\#(to)"#, 422, "out_of_range"),
        of(#""name":"a","on":{"balance":true},"percent":80,\#(to)"#, 422, "wrong_type"),
        of(#""name":"a","on":{"balance":true},"percent":[0],\#(to)"#, 422, "out_of_range"),
        of(#""name":"a","on":{"balance":true},"percent":[1001],\#(to)"#, 422, "out_of_range"),
        of(#""name":"a","on":{"balance":true},"percent":[80,80],\#(to)"#, 422, "duplicate_percent"),
        of(
            #""name":"a","on":{"balance":true},"percent":[1,2,3,4,5,6,7,8,9,10,11],\#(to)"#, 422,
            "out_of_range"),
        of(
            #""name":"a","on":{"balance":true},"percent":[80],"subject":"","\#(to.dropFirst())"#,
            422, "invalid_id"),
        target(#"{}"#, 422, "invalid_value"), target(#"{"pager":"x"}"#, 400, "unknown_field"),
        target(#"{"webhook":"https://a b/"}"#, 422, "invalid_target"),
        target(#"{"webhook":""}"#, 422, "invalid_target"),
        target(#"{"webhook":"http://1.1.1.1/"}"#, 422, "target_forbidden"),
        target(#"{"webhook":"https://127.0.0.1/"}"#, 422, "target_forbidden"),
        target(#"{"webhook":"https://169.254.169.254/x"}"#, 422, "target_forbidden"),
        target(#"{"webhook":"https://[::ffff:10.0.0.1]/"}"#, 422, "target_forbidden"),
        target(#"{"webhook":"https://localhost./"}"#, 422, "target_forbidden"),
        target(#"{"webhook":"https://a:b@1.1.1.1/"}"#, 422, "target_forbidden"),
        target(#"{"webhook":"https://1.1.1.1:22/"}"#, 422, "target_forbidden"),
        target(#"{"email":"a@b.c"}"#, 422, "email_not_configured"),
        target(#"{"email":"a@b@c"}"#, 422, "invalid_email"),
        target(#"{"email":"a b@c.d"}"#, 422, "invalid_email"),
        target(#"{"email":"a@b.c\r\nBcc: x@y.z"}"#, 422, "invalid_email"),
        target(#"{"email":"<a@b.c>"}"#, 422, "invalid_email"),
        (
            "{\"alerts\":["
                + Array(
                    repeating: "{\"name\":\"a\",\"on\":{\"balance\":true},\"percent\":[1],\(to)}",
                    count: 2
                )
                .joined(separator: ",") + "]}", 422, "duplicate_alert"
        ),
        (
            "{\"alerts\":["
                + (0..<101).map {
                    "{\"name\":\"a\($0)\",\"on\":{\"balance\":true},\"percent\":[1],\(to)}"
                }
                .joined(separator: ",") + "]}", 422, "too_many_alerts"
        ),
    ]

    private static func of(
        _ members: String, _ status: Int, _ code: String
    ) -> (body: String, status: Int, code: String) {
        ("{\"alerts\":[{\(members)}]}", status, code)
    }

    private static func target(
        _ target: String, _ status: Int, _ code: String
    ) -> (body: String, status: Int, code: String) {
        of(
            "\"name\":\"a\",\"on\":{\"balance\":true},\"percent\":[80],\"to\":\(target)", status,
            code)
    }

    @Test func `What is wrong is refused, and changes nothing`() async throws {
        try await withAPI { host, harness, redis in
            for refusal in Self.refusals {
                try await harness.expectRefusal(
                    .authorized(
                        .put, "/v1/alerts", headers: ["Content-Type": "application/json"],
                        body: Array(refusal.body.utf8)),
                    refusal.status, refusal.code, refusal.body)
            }
            for query in ["status=all", "limit=0", "limit=201", "cursor=x", "cursor=1_;", "x=1"] {
                let answer = await harness.get("/v1/alerts/deliveries", query: query)
                #expect(answer.status == 400, "\(query): \(answer.text)")
            }
            for id in ["1", "a-b", "1-1", "%00-1-1"] {
                let answer = await harness.send(
                    .authorized(.post, "/v1/alerts/deliveries/\(id)/retry"))
                #expect(answer.status == 404, "\(id): \(answer.text)")
            }
        }
    }

    @Test func `A list is what was put, without secrets, and is replaced by who knows it`()
        async throws
    {
        try await withAlerts { host, bench, receiver in
            let empty = await bench.harness.get("/v1/alerts")
            #expect(empty.text == #"{"alerts":[]}"#)
            let tag = try #require(empty.headers["etag"])
            let two =
                alert("a", files, "80", receiver.url) + "," + alert("b", balance, "5", receiver.url)
            let first = await bench.put(two, headers: ["If-Match": tag])
            #expect(first.status == 200, "\(first.text)")
            #expect(bench.secrets["a"]?.hasPrefix("whsec_") == true)
            #expect(bench.secrets["a"] != bench.secrets["b"])
            #expect(first.headers["cache-control"] == "no-store")
            let shown = await bench.harness.get("/v1/alerts")
            #expect(shown.text == "{\"alerts\":[\(two)]}")
            #expect(shown.headers["etag"] == first.headers["etag"])
            let late = await bench.put("", headers: ["If-Match": tag])
            #expect(late.status == 412 && late.code == "precondition_failed")
            // Of another place the secret is another one.
            let moved = alert("a", files, "80", receiver.url + "2")
            let before = bench.secrets["a"]
            let again = await bench.put(moved, headers: ["If-Match": first.headers["etag"] ?? ""])
            #expect(again.status == 200 && bench.secrets["a"] != before)
            #expect(await bench.put("", headers: ["If-Match": "*"]).status == 200)
            #expect(await bench.harness.get("/v1/alerts").text == #"{"alerts":[]}"#)
        }
    }

    @Test func `An alert outlasts its limit as it is, and stands in the way of no other`()
        async throws
    {
        try await withAlerts { host, bench, receiver in
            let limits = await bench.harness.get("/v1/limits").text
            let orphan = alert("gone", files, "80", receiver.url)
            #expect(await bench.put(orphan).status == 200)
            func put(limits: String) async -> Int {
                await bench.harness.send(.put, "/v1/limits", limits).status
            }
            #expect(await put(limits: #"{"limits":[]}"#) == 200)
            let other = alert("low", balance, "5", receiver.url)
            for list in [orphan, "\(other),\(orphan)"] {
                let answer = await bench.put(list)
                #expect(answer.status == 200, "\(answer.text)")
                #expect(await bench.harness.get("/v1/alerts").text == "{\"alerts\":[\(list)]}")
            }
            for changed in [
                alert("gone", files, "90", receiver.url), alert("new", files, "80", receiver.url),
                alert("gone", files, "80", receiver.url + "2"),
            ] {
                let answer = await bench.put("\(other),\(changed)")
                #expect(answer.status == 422 && answer.code == "unknown_limit", "\(answer.text)")
            }
            // It tells again when there is one of this name again.
            #expect(await put(limits: limits) == 200)
            await bench.upload(80)
            try await bench.deliver()
            #expect(receiver.told == ["u1 gone 80"])
        }
    }

    @Test func `A key of a wrong type stops what would tell, and nothing is counted`() async throws
    {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            for name in ["told", "last", "notices", "due"] {
                let key = "t1:{default}:alerts:\(name)"
                _ = try bench.redis.request("LPUSH \(key) x")
                let body = #"{"subject":"u1","meters":{"files_uploaded":50}}"#
                let answer = await bench.harness.post(body)
                #expect(answer.status == 503, "\(name): \(answer.text)")
                _ = try bench.redis.request("DEL \(key)")
                #expect(await bench.harness.totals("u1") == nil, "\(name)")
            }
            await bench.upload(50)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
        }
    }
}
