// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

/// A route that takes a body, and one that it takes.
private struct BodyRoute: Sendable {
    let method: HTTPMethod
    let path: String
    let body: String
    var needsBody = true

    func refusal(_ body: String, _ status: Int, _ code: String) -> Refusal {
        Refusal(
            "\(method.name) \(path) \(body.prefix(80))",
            .authorized(
                method, path, headers: ["Content-Type": "application/json"],
                body: Array(body.utf8)), status, code)
    }

    static let prices = BodyRoute(method: .put, path: "/v1/prices", body: "{}")
    static let limits = BodyRoute(method: .put, path: "/v1/limits", body: #"{"limits":[]}"#)
    static let policy = BodyRoute(method: .put, path: "/v1/credit-policy", body: "{}")
    static let allowance = BodyRoute(
        method: .put, path: "/v1/credits/a/allowance", body: #"{"monthly_allowance":5}"#)
    static let grants = BodyRoute(
        method: .post, path: "/v1/credits/a/grants", body: #"{"id":"x","credits":5}"#)
    static let holds = BodyRoute(
        method: .post, path: "/v1/holds", body: #"{"id":"x","subject":"a","credits":1}"#)
    static let check = BodyRoute(
        method: .post, path: "/v1/check", body: #"{"subject":"a","credits":1,"consume":true}"#)
    static let override = BodyRoute(
        method: .put, path: "/v1/limits/files_per_day/subjects/a", body: #"{"limit":5}"#)
    static let commit = BodyRoute(
        method: .post, path: "/v1/holds/h/commit", body: #"{"subject":"a","credits":1}"#)
    static let release = BodyRoute(
        method: .post, path: "/v1/holds/h/release", body: "{}", needsBody: false)
    static let reverse = BodyRoute(
        method: .post, path: "/v1/events/e/reverse", body: #"{"reason":"x"}"#, needsBody: false)

    static let all = [
        prices, limits, policy, allowance, grants, holds, check, override, commit, release, reverse,
    ]
}

@Suite(.timeLimit(.minutes(15))) struct CreditRefusalTests {
    /// A subject with credits, an event and a hold, so that there is something to spoil.
    private static func prepare(_ harness: Harness) async {
        for (route, body, status) in [
            (BodyRoute.grants, #"{"id":"g","credits":100}"#, 201),
            (.holds, #"{"id":"h","subject":"a","credits":10}"#, 201),
            (.limits, limitsBody, 200),
        ] {
            let request = route.refusal(body, status, "").request
            let answer = await harness.send(request)
            #expect(answer.status == status, "\(answer.text)")
        }
        let event = await harness.post(#"{"id":"e","subject":"a","credits":2}"#)
        #expect(event.status == 200)
    }

    private static let limitsBody =
        #"{"limits":[{"name":"files_per_day","meter":"files_uploaded","window":"day","user":100}]}"#

    @Test(arguments: [
        documents, members, methods, contentTypes, decimals, integers, meters, ids, times, paths,
        queries, limitFields, holdEnds,
    ])
    func `A refused request changes nothing, says why, and spoils nothing`(table: RefusalTable)
        async throws
    {
        try await withAPI { host, harness, redis in
            await Self.prepare(harness)
            for row in table.rows {
                try await harness.expectRefusal(row.request, row.status, row.code, row.name)
            }
        }
    }

    // MARK: Whole bodies

    static let documents = RefusalTable(
        name: "documents",
        rows: BodyRoute.all.flatMap { route in
            let isCommit = route.path == BodyRoute.commit.path
            var rows = ["[]", "1", #""x""#, "true", "[{}]", "[\(route.body)]"].map {
                route.refusal($0, 422, "wrong_type")
            }
            rows.append(route.refusal("null", 422, "wrong_type"))
            rows += [
                "{", "}", "{]", "\(route.body),", "\(route.body)\(route.body)", "nul", "NaN",
                "{'id':1}", " ", "{,}",
            ].map { route.refusal($0, 400, "invalid_json") }
            if route.needsBody { rows.append(route.refusal("", 400, "invalid_json")) }
            rows += [
                route.refusal(String(repeating: "[", count: 100_000), 400, "too_deep"),
                route.refusal(String(repeating: #"{"id":"#, count: 100), 400, "too_deep"),
                route.refusal(#"{"subject":"a","subject":"a"}"#, 400, "duplicate_key"),
                route.refusal(#"{"credits":1,"\u0063redits":1}"#, 400, "duplicate_key"),
                route.refusal(#"{"id":"\ud800"}"#, 400, "invalid_string"),
                route.refusal(#"{"credits":01}"#, 400, "invalid_number"),
                route.refusal(
                    #"{"credits":\#(String(repeating: "9", count: 40))}"#, 400, "invalid_number"),
                route.refusal(#"{"Subject":"a"}"#, 400, "unknown_field"),
                route.refusal(#"{"__proto__":{}}"#, 400, "unknown_field"),
                route.refusal(#"{"":1}"#, 400, "unknown_field"),
            ]
            // What a commit has besides is an event's, and tested there.
            if !isCommit {
                rows.append(
                    route.refusal(
                        String(route.body.dropLast()) + (route.body == "{}" ? "" : ",")
                            + #""user_id":1}"#, 400, "unknown_field"))
            }
            return rows
        })

    static let contentTypes = RefusalTable(
        name: "content types",
        rows: BodyRoute.all.flatMap { route in
            [absent, "", "text/plain", "application/x-ndjson", "application/jsonx"].map { type in
                Refusal(
                    "\(route.path) Content-Type: \(type)",
                    .authorized(
                        route.method, route.path, headers: ["Content-Type": type],
                        body: Array(route.body.utf8)), 415, "unsupported_media_type")
            } + [
                Refusal(
                    "\(route.path) gzip",
                    .authorized(
                        route.method, route.path,
                        headers: ["Content-Type": "application/json", "Content-Encoding": "gzip"],
                        body: Array(route.body.utf8)), 415, "unsupported_media_type")
            ]
        })

    static let methods = RefusalTable(
        name: "methods",
        rows: [
            ("/v1/prices", [HTTPMethod.post, .delete, .patch, .options]),
            ("/v1/limits", [.post, .delete, .patch]), ("/v1/credit-policy", [.post, .delete]),
            ("/v1/credits/a", [.put, .post, .delete, .patch]),
            ("/v1/credits/a/allowance", [.get, .post, .delete]),
            ("/v1/credits/a/grants", [.get, .put, .delete]),
            ("/v1/credits/a/ledger", [.put, .post, .delete]),
            ("/v1/events/e/reverse", [.get, .put, .delete]), ("/v1/check", [.get, .put, .delete]),
            ("/v1/holds", [.put, .delete, .patch]), ("/v1/holds/h", [.put, .post, .delete]),
            ("/v1/holds/h/commit", [.get, .put]), ("/v1/holds/h/release", [.get, .delete]),
            ("/v1/limits/files_per_day/subjects/a", [.post, .delete, .patch]),
        ].flatMap { path, methods in
            methods.map {
                Refusal("\($0.name) \(path)", .authorized($0, path), 405, "method_not_allowed")
            }
        })

    // MARK: Members

    static let members = RefusalTable(
        name: "members",
        rows: [
            BodyRoute.grants.refusal("{}", 422, "field_required"),
            BodyRoute.grants.refusal(#"{"id":"x"}"#, 422, "field_required"),
            BodyRoute.grants.refusal(#"{"credits":1}"#, 422, "field_required"),
            BodyRoute.grants.refusal(#"{"id":null,"credits":1}"#, 422, "field_required"),
            BodyRoute.grants.refusal(#"{"id":"x","credits":null}"#, 422, "field_required"),
            BodyRoute.grants.refusal(#"{"id":"x","credits":0}"#, 422, "out_of_range"),
            BodyRoute.grants.refusal(#"{"id":"g","credits":101}"#, 422, "id_reused"),
            BodyRoute.grants.refusal(#"{"id":"g","credits":100,"priority":1}"#, 422, "id_reused"),
            BodyRoute.holds.refusal("{}", 422, "field_required"),
            BodyRoute.holds.refusal(#"{"subject":"a"}"#, 422, "field_required"),
            BodyRoute.holds.refusal(#"{"credits":1}"#, 422, "field_required"),
            BodyRoute.holds.refusal(#"{"subject":null,"credits":1}"#, 422, "field_required"),
            BodyRoute.holds.refusal(#"{"subject":"a","credits":0}"#, 422, "field_required"),
            BodyRoute.holds.refusal(#"{"subject":"a","amounts":{}}"#, 422, "field_required"),
            BodyRoute.holds.refusal(
                #"{"subject":"a","amounts":{"tokens":0}}"#, 422, "field_required"),
            BodyRoute.holds.refusal(
                #"{"id":"h","subject":"a","credits":11}"#, 422, "id_reused"),
            BodyRoute.holds.refusal(
                #"{"id":"h","subject":"b","credits":10}"#, 422, "id_reused"),
            BodyRoute.check.refusal("{}", 422, "field_required"),
            BodyRoute.check.refusal(#"{"subject":null}"#, 422, "field_required"),
            BodyRoute.allowance.refusal("{}", 422, "field_required"),
            BodyRoute.allowance.refusal(#"{"monthly_allowance":null}"#, 422, "field_required"),
            BodyRoute.override.refusal("{}", 422, "field_required"),
            BodyRoute.limits.refusal("{}", 422, "field_required"),
            BodyRoute.prices.refusal(#"{"models":null}"#, 422, "field_required"),
            BodyRoute.prices.refusal(#"{"models":{"a*b":{}}}"#, 422, "invalid_model"),
            BodyRoute.prices.refusal(#"{"models":{"":{}}}"#, 422, "invalid_model"),
            BodyRoute.prices.refusal(#"{"models":{"m":{"x":1}}}"#, 400, "unknown_field"),
            BodyRoute.prices.refusal(#"{"models":{"m":[]}}"#, 422, "wrong_type"),
            BodyRoute.policy.refusal(#"{"month_reset":"weekly"}"#, 422, "invalid_value"),
            BodyRoute.policy.refusal(#"{"month_reset":1}"#, 422, "wrong_type"),
            BodyRoute.policy.refusal(#"{"month_reset":null}"#, 422, "wrong_type"),
            BodyRoute.check.refusal(#"{"subject":"a","consume":1}"#, 422, "wrong_type"),
            BodyRoute.check.refusal(#"{"subject":"a","consume":"true"}"#, 422, "wrong_type"),
            BodyRoute.check.refusal(#"{"subject":"a","ttl_s":5}"#, 400, "unknown_field"),
            BodyRoute.holds.refusal(
                #"{"subject":"a","credits":1,"consume":true}"#, 400, "unknown_field"),
            BodyRoute.reverse.refusal(#"{"reason":1}"#, 422, "wrong_type"),
            BodyRoute.reverse.refusal(#"{"reason":"a\nb"}"#, 422, "invalid_text"),
            BodyRoute.reverse.refusal(
                #"{"reason":"\#(String(repeating: "x", count: 1025))"}"#, 422, "invalid_text"),
            BodyRoute.release.refusal(#"{"subject":"a"}"#, 400, "unknown_field"),
        ])

    /// Bodies with one decimal.
    private static func decimalBodies(_ text: String) -> [(route: BodyRoute, body: String)] {
        [
            (.prices, #"{"per_message":\#(text)}"#), (.prices, #"{"credit_rate":\#(text)}"#),
            (.prices, #"{"models":{"m":{"input":\#(text)}}}"#),
            (.prices, #"{"default":{"cached_write":\#(text)}}"#),
            (.policy, #"{"default_allowance":\#(text)}"#), (.policy, #"{"rollover_max":\#(text)}"#),
            (.policy, #"{"overdraft":\#(text)}"#),
            (.allowance, #"{"monthly_allowance":\#(text)}"#),
            (.grants, #"{"id":"x","credits":\#(text)}"#),
            (.holds, #"{"subject":"a","credits":\#(text)}"#),
            (.check, #"{"subject":"a","consume":true,"credits":\#(text)}"#),
            (.commit, #"{"subject":"a","credits":\#(text)}"#),
        ]
    }

    private static func decimals(
        _ texts: [String], _ status: Int, _ code: String
    ) -> [Refusal] {
        texts.flatMap { decimalBodies($0) }.map { $0.route.refusal($0.body, status, code) }
    }

    static let decimals = RefusalTable(
        name: "decimals",
        rows: decimals(
            [
                "-1", "-0", "-0.0", "-0.5", "-1e400", #""-1""#, #""-0""#, "9007199254.740992",
                "9007199255", "1e10", "1e400", #""1e400""#, #""9007199254740992""#,
                "9007199254740992",
            ], 422, "out_of_range")
            + decimals(["0.0000001", "1e-7", #""1.0000001""#, "1e-400"], 422, "too_precise")
            + decimals(
                [
                    #""NaN""#, #""""#, #"" 1""#, #""0x10""#, #""1_0""#, #""+1""#, #"".5""#,
                    #""1.""#, #""01""#, #""Infinity""#, #""١""#, #""1,5""#, #""null""#,
                ], 422, "malformed_number")
            + decimals(["true", "[]", "{}", "[1]"], 422, "wrong_type")
            + decimals(["NaN", "Infinity", "+1", ".5"], 400, "invalid_json")
            + decimals(["01", "1.", "1e", "-"], 400, "invalid_number"))

    /// Bodies with one integer.
    private static func integerBodies(_ text: String) -> [(route: BodyRoute, body: String)] {
        [
            (.holds, #"{"subject":"a","amounts":{"files_uploaded":\#(text)}}"#),
            (.check, #"{"subject":"a","consume":true,"amounts":{"files_uploaded":\#(text)}}"#),
            (.override, #"{"limit":\#(text)}"#),
            (.holds, #"{"subject":"a","credits":1,"ttl_s":\#(text)}"#),
            (.grants, #"{"id":"x","credits":1,"priority":\#(text)}"#),
            (.limits, limit(#""user":\#(text)"#)), (.limits, limit(#""guest":\#(text)"#)),
            (.limits, limit(#""user":1,"period_s":\#(text)"#, window: "rate")),
            (.limits, limit(#""user":1,"period_s":60,"burst":\#(text)"#, window: "rate")),
            (.commit, #"{"subject":"a","meters":{"files_uploaded":\#(text)}}"#),
        ]
    }

    private static func limit(_ members: String, window: String = "day") -> String {
        #"{"limits":[{"name":"x","meter":"tokens","window":"\#(window)",\#(members)}]}"#
    }

    private static func integers(
        _ texts: [String], _ status: Int, _ code: String
    ) -> [Refusal] {
        texts.flatMap { integerBodies($0) }.map { $0.route.refusal($0.body, status, code) }
    }

    static let integers = RefusalTable(
        name: "integers",
        rows: integers(
            ["-1", "9007199254740992", "9223372036854775808", "-9223372036854775809"], 422,
            "out_of_range")
            + integers(["-0", "1.0", "1.5", "1e2", "1e400", "1e-400"], 422, "integer_required")
            + integers([#""5""#, "true", "[]", "{}"], 422, "wrong_type")
            + integers(["NaN", "+1"], 400, "invalid_json")
            + integers(["01", "1."], 400, "invalid_number")
            + ["0", "86401", "31536000"].map {
                BodyRoute.holds.refusal(
                    #"{"subject":"a","credits":1,"ttl_s":\#($0)}"#, 422, "out_of_range")
            } + [
                BodyRoute.grants.refusal(
                    #"{"id":"x","credits":1,"priority":1001}"#, 422, "out_of_range")
            ])
}
