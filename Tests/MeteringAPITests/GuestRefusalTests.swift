// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Metering
import MeteringAPI
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct GuestRefusalTests {
    static let upload = "/usage/track/upload"
    static let processing = "/usage/track/processing"

    static let cases: [(path: String, body: String, Int, String)] = [
        (upload, #"{"user_id":1}"#, 422, "field_required"),
        (upload, #"{"file_size":1}"#, 422, "field_required"),
        (upload, #"{"user_id":1,"file_size":-1}"#, 422, "out_of_range"),
        (upload, #"{"user_id":1,"file_size":1.5}"#, 422, "integer_required"),
        (upload, #"{"user_id":1,"file_size":"1"}"#, 422, "wrong_type"),
        (upload, #"{"user_id":1,"file_size":9007199254740992}"#, 422, "out_of_range"),
        (upload, #"{"user_id":1,"guest_id":"g","file_size":1}"#, 422, "ambiguous_subject"),
        (upload, #"{"user_id":true,"file_size":1}"#, 422, "wrong_type"),
        (upload, #"{"user_id":"","file_size":1}"#, 422, "invalid_id"),
        (upload, #"{"guest_id":"","file_size":1}"#, 422, "invalid_id"),
        (upload, #"{"user_id":"guest:g","file_size":1}"#, 422, "invalid_id"),
        (upload, #"{"guest_id":"a\u0007","file_size":1}"#, 422, "invalid_id"),
        (upload, #"{"guest_id":"guest:g","file_size":1}"#, 422, "invalid_id"),
        (
            upload, #"{"user_id":1,"file_size":1,"processing_type":"Speech"}"#, 422,
            "invalid_processing_type"
        ),
        (
            upload, #"{"user_id":1,"file_size":1,"processing_type":""}"#, 422,
            "invalid_processing_type"
        ),
        (
            upload,
            #"{"user_id":1,"file_size":1,"processing_type":"\#(String(repeating: "a", count: 49))"}"#,
            422, "invalid_processing_type"
        ),
        (upload, #"{"user_id":1,"file_size":1,"processing_type":7}"#, 422, "wrong_type"),
        (upload, #"{"user_id":1,"file_size":1,"name":"x"}"#, 400, "unknown_field"),
        (upload, "[]", 422, "wrong_type"), (upload, "{", 400, "invalid_json"),
        (processing, #"{"user_id":1}"#, 422, "field_required"),
        (processing, #"{"user_id":1,"processing_time":"5"}"#, 422, "wrong_type"),
        (processing, #"{"user_id":1,"processing_time":-5}"#, 422, "out_of_range"),
        (processing, #"{"user_id":1,"processing_time":-5e0}"#, 422, "out_of_range"),
        (processing, #"{"user_id":1,"processing_time":1e300}"#, 422, "out_of_range"),
        (processing, #"{"user_id":1,"processing_time":10000000000}"#, 422, "out_of_range"),
        (processing, #"{"user_id":1,"processing_time":1,"success":1}"#, 422, "wrong_type"),
        (
            processing, #"{"user_id":1,"processing_time":1,"output_file_size":-1}"#, 422,
            "out_of_range"
        ),
        ("/usage/track/download", #"{"file_size":1,"user_id":1}"#, 400, "unknown_field"),
        ("/usage/track/download", "{}", 422, "field_required"),
        ("/usage/track/api-call", "", 422, "field_required"),
        ("/usage/track/nothing", "{}", 404, "not_found"),
    ]

    @Test func `Bad bodies are refused, and change nothing`() async throws {
        try await withAPI { _, api, _ in
            for (path, body, status, code) in Self.cases {
                try await api.expectRefusal(
                    .authorized(
                        .post, path, headers: ["Content-Type": "application/json"],
                        body: Array(body.utf8)), status, code, "\(path) \(body)")
            }
            for path in ["/usage/me", "/usage/limits", "/usage/admin/user/1", "/admin/analytics"] {
                try await api.expectRefusal(
                    .authorized(.get, path, query: "x=1"), 400, "unknown_parameter", path)
            }
            // An administrator is no end user.
            for path in ["/usage/me", "/usage/limits"] {
                try await api.expectRefusal(.authorized(.get, path), 403, "forbidden", path)
            }
        }
    }

    @Test func `Only who is allowed to is answered`() async throws {
        try await withAPI { _, api, _ in
            let body = #"{"file_size":1}"#
            for (method, path) in [
                (HTTPMethod.get, "/usage/me"), (.get, "/usage/limits"), (.post, Self.upload),
                (.get, "/usage/admin/user/1"), (.get, "/admin/analytics"),
            ] {
                let nobody = await api.ask(method, path, method == .post ? body : "")
                #expect(nobody.status == 401 && nobody.detail == "Not authenticated", "\(path)")
                expectProblem(nobody, at: path, path)
                let unknown = await api.ask(method, path, guest: "g", secret: "tally_no")
                #expect(unknown.status == 401, "\(path)")
            }
            let secret = try await api.secret(of: "ann")
            for (guest, key) in [("g" as String?, nil as String?), (nil, secret)] {
                for path in ["/usage/admin/user/ann", "/admin/analytics"] {
                    let answer = await api.ask(.get, path, guest: guest, secret: key)
                    #expect(answer.status == (guest == nil ? 403 : 401), "\(path)")
                }
                // Nobody tells what others did.
                for other in [#""user_id":"bob""#, #""guest_id":"h""#] {
                    let answer = await api.ask(
                        .post, Self.upload, #"{"file_size":1,\#(other)}"#, guest: guest,
                        secret: key)
                    #expect(answer.status == 403, "\(answer.text)")
                }
            }
            let own = await api.ask(
                .post, Self.upload, #"{"file_size":1,"user_id":"ann"}"#, secret: secret)
            #expect(own.status == 200)
            let doubled = await api.ask(.get, "/usage/me", guest: "guest:g")
            #expect(doubled.status == 422 && doubled.code == "invalid_id", "\(doubled.text)")
            // Where guests are not allowed, nobody is one.
            _ = await api.send(.patch, "/v1/workspaces/default", #"{"guests":false}"#)
            #expect(await api.ask(.get, "/usage/me", guest: "g").detail == "Not authenticated")
        }
    }

    @Test func `Guests cannot make counters without end`() async throws {
        try await withAPI { _, api, _ in
            let secret = try await api.secret(of: "ann")
            for number in 0..<40 {
                let answer = await api.ask(
                    .post, Self.upload,
                    #"{"file_size":1,"processing_type":"own_\#(number)"}"#, secret: secret)
                #expect(answer.status == 200)
            }
            let mine = await api.ask(.get, "/usage/me", secret: secret)
            let types = mine.json["processing_types_breakdown"] as? [String: Int] ?? [:]
            #expect(types.count == 33 && types["other"] == 8, "\(types)")
            // A back end may bring in more.
            let told = await api.send(
                .post, Self.upload, #"{"user_id":"x","file_size":1,"processing_type":"new"}"#)
            #expect(told.totals["processing_type_new"] == 1, "\(told.text)")
            let known = await api.ask(
                .post, Self.upload, #"{"file_size":1,"processing_type":"new"}"#, secret: secret)
            #expect(known.totals["processing_type_new"] == 1, "\(known.text)")
        }
    }
}

@Suite struct GuestLimiterTests {
    @Test func `An address has a minute's requests at once, and then one each second`() {
        let limiter = GuestLimiter(perMinute: 60)
        for number in 0..<60 { #expect(limiter.wait(of: "a", atUS: number) == nil) }
        #expect(limiter.wait(of: "a", atUS: 60) == 1)
        #expect(limiter.wait(of: "b", atUS: 60) == nil)
        #expect(limiter.wait(of: "a", atUS: 1_100_000) == nil)
        #expect(limiter.wait(of: "a", atUS: 1_100_001) == 1)
        // It does not grow beyond a minute's.
        for number in 0..<60 { #expect(limiter.wait(of: "a", atUS: 900_000_000 + number) == nil) }
        #expect(limiter.wait(of: "a", atUS: 900_000_060) == 1)
        // A slower one tells for how long to wait; a clock set back gives nothing.
        let slow = GuestLimiter(perMinute: 2)
        #expect(slow.wait(of: "a", atUS: 0) == nil && slow.wait(of: "a", atUS: 0) == nil)
        #expect(slow.wait(of: "a", atUS: 0) == 30 && slow.wait(of: "a", atUS: -5) == 30)
    }

    @Test func `Addresses that one holder has are one`() {
        let limiter = GuestLimiter(perMinute: 1)
        let groups = [
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:5::", "2001:db8:0:0:1:2:3:4"],
            ["2001:db8:0:1::1", "2001:db8:0:1:ffff::"], ["2001:db8:1::"], ["::1", "::", "::2:3"],
            ["10.0.0.1"], ["10.0.0.2"], ["::ffff:10.0.0.1"], ["::ffff:10.0.0.2"], ["unix"],
        ]
        for group in groups {
            for (index, address) in group.enumerated() {
                let wait = limiter.wait(of: address, atUS: 0)
                #expect((wait == nil) == (index == 0), "\(address)")
            }
        }
    }

    @Test func `It remembers no more addresses than it may`() {
        let limiter = GuestLimiter(perMinute: 1)
        for number in 0..<30_000 {
            #expect(limiter.wait(of: "\(number)", atUS: number) == nil)
        }
    }

    @Test func `Guests that ask too often are told when to come back`() async throws {
        try await withAPI { _, api, _ in
            var answer = await api.ask(.get, "/usage/me", guest: "g")
            // Tokens come back while it asks; it asks faster than that.
            for _ in 0..<2_000 where answer.status == 200 {
                answer = await api.ask(.get, "/usage/me", guest: "g")
            }
            #expect(answer.status == 429 && answer.code == "too_many_requests")
            #expect(answer.headers["retry-after"] == "1")
            // Who has a key goes on.
            #expect(await api.get("/admin/analytics").status == 200)
        }
    }
}
