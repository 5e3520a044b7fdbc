// SPDX-License-Identifier: Apache-2.0

import HTTPServer

extension CreditRefusalTests {
    private static func send(
        _ method: HTTPMethod, _ path: String, _ body: String, _ status: Int, _ code: String
    ) -> Refusal {
        Refusal(
            "\(method.name) \(path.prefix(60)) \(body.prefix(80))",
            .authorized(
                method, path, headers: ["Content-Type": "application/json"],
                body: Array(body.utf8)), status, code)
    }

    private static let long = String(repeating: "x", count: 257)

    static let meters = RefusalTable(name: "meters and limits", rows: unknownNames + badMembers)

    private static var unknownNames: [Refusal] {
        var rows: [Refusal] = [
            send(.put, "/v1/limits/nothing/subjects/a", #"{"limit":5}"#, 404, "limit_not_found"),
            send(
                .put, "/v1/limits/FILES_PER_DAY/subjects/a", #"{"limit":5}"#, 404, "limit_not_found"
            ),
        ]
        for name in ["", "X", "1x", "x-y", "é", "*", String(repeating: "x", count: 65)] {
            let body = #"{"subject":"a","amounts":{"\#(name)":1}}"#
            for path in ["/v1/holds", "/v1/check"] {
                rows.append(send(.post, path, body, 422, "unknown_meter"))
            }
        }
        return rows
    }

    private static var badMembers: [Refusal] {
        let many = (0..<33).map { #""m\#($0)":1"# }.joined(separator: ",")
        let members: [(String, String)] = [
            (#""limits":["nothing"]"#, "unknown_limit"),
            (#""limits":["files_per_day","FILES_PER_DAY"]"#, "unknown_limit"),
            (#""limits":[""]"#, "unknown_limit"), (#""limits":[1]"#, "wrong_type"),
            (#""limits":"files_per_day""#, "wrong_type"), (#""limits":{}"#, "wrong_type"),
            (#""amounts":[]"#, "wrong_type"), (#""amounts":1"#, "wrong_type"),
            (#""amounts":{"tokens":null}"#, "field_required"),
            (#""amounts":{\#(many)}"#, "too_many_meters"),
            (#""amounts":{"credits_micro":0}"#, "ambiguous_amounts"),
            (#""amounts":{"files_uploaded":1,"credits_micro":1000000}"#, "ambiguous_amounts"),
        ]
        var rows: [Refusal] = []
        for (member, code) in members {
            let body = #"{"subject":"a","credits":1,\#(member)}"#
            rows.append(send(.post, "/v1/holds", body, 422, code))
            rows.append(send(.post, "/v1/check", body, 422, code))
        }
        let twice = "/v1/gateway/check?subject=a&credits=1&credits_micro=0"
        rows.append(.get(twice, 422, "ambiguous_amounts"))
        return rows
    }

    static let ids = RefusalTable(name: "ids", rows: badIDs + badSubjects + otherTypes)

    private static var badIDs: [Refusal] {
        var rows: [Refusal] = []
        for id in ["", "a\\nb", "\\u007f", "\\u0085", "tly-1-1-1", long] {
            let named = #"{"id":"\#(id)","credits":1}"#
            let body = #"{"id":"\#(id)","subject":"a","credits":1}"#
            rows.append(send(.post, "/v1/credits/a/grants", named, 422, "invalid_id"))
            rows.append(send(.post, "/v1/holds", body, 422, "invalid_id"))
            rows.append(send(.post, "/v1/holds/h/commit", body, 422, "invalid_id"))
        }
        return rows
    }

    private static var badSubjects: [Refusal] {
        var rows: [Refusal] = []
        for id in ["", "a\\nb", "\\u007f", long] {
            let body = #"{"subject":"\#(id)","credits":1,"amounts":{"tokens":1}}"#
            rows.append(send(.post, "/v1/holds", body, 422, "invalid_id"))
            rows.append(send(.post, "/v1/check", body, 422, "invalid_id"))
        }
        return rows
    }

    private static var otherTypes: [Refusal] {
        var rows: [Refusal] = []
        for value in ["1", "true", "[]", "{}"] {
            let grant = #"{"id":\#(value),"credits":1}"#
            let hold = #"{"id":\#(value),"subject":"a","credits":1}"#
            let check = #"{"subject":\#(value),"credits":1}"#
            rows.append(send(.post, "/v1/credits/a/grants", grant, 422, "wrong_type"))
            rows.append(send(.post, "/v1/holds", hold, 422, "wrong_type"))
            rows.append(send(.post, "/v1/check", check, 422, "wrong_type"))
        }
        return rows
    }

    static let times = RefusalTable(name: "times", rows: badTimes)

    private static var badTimes: [Refusal] {
        let values: [(String, String)] = [
            (#""2026-11-21T10:00:00Z""#, "out_of_range"),
            (#""2026-11-21T09:59:59.999Z""#, "out_of_range"),
            (#""1969-12-31T23:59:59Z""#, "out_of_range"),
            (#""0001-01-01T00:00:00Z""#, "out_of_range"),
            (#""""#, "invalid_timestamp"), (#""now""#, "invalid_timestamp"),
            (#""2026-12-01""#, "invalid_timestamp"),
            (#""2026-12-01T10:00:00""#, "invalid_timestamp"),
            (#""2027-02-29T10:00:00Z""#, "invalid_timestamp"),
            (#""9999-12-31T23:59:59-14:00""#, "invalid_timestamp"),
            ("1795255200", "wrong_type"), ("true", "wrong_type"), ("[]", "wrong_type"),
        ]
        return values.map { value, code in
            let body = #"{"id":"x","credits":1,"expires_at":\#(value)}"#
            return send(.post, "/v1/credits/a/grants", body, 422, code)
        }
    }

    static let paths = RefusalTable(name: "paths", rows: badNames + unknownNamesInPaths)

    private static var badNames: [Refusal] {
        var rows: [Refusal] = []
        for id in [long, "a%0Ab", "%00", "%c2%80"] {
            rows.append(.get("/v1/credits/\(id)", 422, "invalid_id"))
            rows.append(.get("/v1/credits/\(id)/ledger", 422, "invalid_id"))
            let allowance = #"{"monthly_allowance":1}"#
            rows.append(send(.put, "/v1/credits/\(id)/allowance", allowance, 422, "invalid_id"))
            let grant = #"{"id":"x","credits":1}"#
            rows.append(send(.post, "/v1/credits/\(id)/grants", grant, 422, "invalid_id"))
            let path = "/v1/limits/files_per_day/subjects/\(id)"
            rows.append(send(.put, path, #"{"limit":1}"#, 422, "invalid_id"))
            rows.append(send(.post, "/v1/events/\(id)/reverse", "{}", 422, "invalid_id"))
            rows.append(.get("/v1/holds/\(id)", 404, "hold_not_found"))
            rows.append(send(.post, "/v1/holds/\(id)/release", "{}", 404, "hold_not_found"))
        }
        return rows
    }

    private static var unknownNamesInPaths: [Refusal] {
        var rows: [Refusal] = [
            .get("/v1/credits", 404, "not_found"), .get("/v1/credits/a/b", 404, "not_found"),
            .get("/v1/holds/h/", 404, "not_found"), .get("/v1/limits/x", 404, "not_found"),
            .get("/v1/price", 404, "not_found"),
        ]
        for id in ["%ff", "%c0%ae", "%zz", "%", ""] {
            rows.append(.get("/v1/credits/\(id)", 404, "not_found"))
        }
        for id in [
            "%ff", "%c0%ae", "%zz", "%", "", "never", "E", "tly-1-1-1", "tly-", "{default}",
            "%F0%9F%AA%99",
        ] {
            // What is no text names no route's parameter.
            let isText = !["%ff", "%c0%ae", "%zz", "%", ""].contains(id)
            let code = isText ? "hold_not_found" : "not_found"
            rows.append(.get("/v1/holds/\(id)", 404, code))
            rows.append(send(.post, "/v1/events/\(id)/reverse", "", 404, "not_found"))
            rows.append(send(.post, "/v1/holds/\(id)/release", "", 404, code))
        }
        return rows
    }

    static let queries = RefusalTable(name: "queries", rows: readQueries + writeQueries)

    private static var readQueries: [Refusal] {
        var rows: [Refusal] = [
            .get("/v1/holds?state=open&state=open", 400, "duplicate_parameter"),
            .get("/v1/holds?state=%ff", 400, "invalid_parameter"),
        ]
        for path in [
            "/v1/prices", "/v1/limits", "/v1/credit-policy", "/v1/credits/a", "/v1/holds",
            "/v1/holds/h", "/v1/credits/a/ledger",
        ] {
            rows.append(.get("\(path)?x=1", 400, "unknown_parameter"))
        }
        for query in [
            "limit=0", "limit=1001", "limit=-1", "limit=1e2", "limit=", "before=", "before=x",
            "before=1", "before=1-", "before=1-0", "before=-1-1", "before=1-1-1",
            "before=99999999999999999999-1",
        ] {
            rows.append(.get("/v1/credits/a/ledger?\(query)", 400, "invalid_parameter"))
        }
        for query in ["state=", "state=x", "state=OPEN", "limit=0", "limit=1001"] {
            rows.append(.get("/v1/holds?\(query)", 400, "invalid_parameter"))
        }
        for query in ["subject=", "subject=a%0Ab", "subject=\(long)"] {
            rows.append(.get("/v1/holds?\(query)", 422, "invalid_id"))
        }
        return rows
    }

    private static var writeQueries: [Refusal] {
        let routes: [(HTTPMethod, String)] = [
            (.post, "/v1/check"), (.post, "/v1/holds"), (.post, "/v1/holds/h/commit"),
            (.post, "/v1/holds/h/release"), (.post, "/v1/events/e/reverse"),
            (.put, "/v1/prices"), (.post, "/v1/credits/a/grants"),
        ]
        let body = Array(#"{"subject":"a","credits":1}"#.utf8)
        return routes.map { method, path in
            Refusal(
                "\(path)?dry=true",
                .authorized(
                    method, path, query: "dry=true", headers: ["Content-Type": "application/json"],
                    body: body), 400, "unknown_parameter")
        }
    }

    static let limitFields = RefusalTable(name: "fields of limits", rows: badLimits + badBooks)

    private static var badLimits: [Refusal] {
        let members: [(String, String)] = [
            (#""name":"X","meter":"tokens","window":"day","user":1"#, "invalid_name"),
            (#""name":"","meter":"tokens","window":"day","user":1"#, "invalid_name"),
            (#""name":1,"meter":"tokens","window":"day","user":1"#, "wrong_type"),
            (#""meter":"tokens","window":"day","user":1"#, "field_required"),
            (#""name":"x","window":"day","user":1"#, "field_required"),
            (#""name":"x","meter":"tokens","user":1"#, "field_required"),
            (#""name":"x","meter":"tokens","window":"day""#, "field_required"),
            (#""name":"x","meter":"tokens","window":"day","user":null"#, "field_required"),
            (#""name":"x","meter":"Tokens","window":"day","user":1"#, "unknown_meter"),
            (#""name":"x","meter":"tokens","window":"week","user":1"#, "unknown_window"),
            (#""name":"x","meter":"tokens","window":1,"user":1"#, "wrong_type"),
            (#""name":"x","meter":"tokens","window":"rate","user":1"#, "field_required"),
            (
                #""name":"x","meter":"tokens","window":"day","period_s":5,"user":1"#,
                "unexpected_field"
            ),
            (#""name":"x","meter":"tokens","window":"day","burst":5,"user":1"#, "unexpected_field"),
            (
                #""name":"x","meter":"tokens","window":"rolling","period_s":60,"burst":5,"user":1"#,
                "unexpected_field"
            ),
            (
                #""name":"x","meter":"tokens","window":"rolling","period_s":0,"user":1"#,
                "out_of_range"
            ),
            (
                #""name":"x","meter":"tokens","window":"rolling","period_s":2678401,"user":1"#,
                "out_of_range"
            ),
            (
                #""name":"x","meter":"tokens","window":"rate","period_s":1,"burst":0,"user":1"#,
                "out_of_range"
            ),
            (
                #""name":"x","meter":"tokens","window":"rate","period_s":1000,"user":9007199254740991"#,
                "out_of_range"
            ),
        ]
        return members.map { send(.put, "/v1/limits", #"{"limits":[{\#($0)}]}"#, 422, $1) }
    }

    private static var badBooks: [Refusal] {
        let many = Array(repeating: "1", count: 101).joined(separator: ",")
        let rows: [Refusal] = [
            send(
                .put, "/v1/limits",
                #"{"limits":[{"name":"x","meter":"tokens","window":"day","user":1,"id":7}]}"#, 400,
                "unknown_field"),
            send(.put, "/v1/limits", #"{"limits":[],"next_id":7}"#, 400, "unknown_field"),
            send(.put, "/v1/limits", #"{"limits":{}}"#, 422, "wrong_type"),
            send(.put, "/v1/limits", #"{"limits":[1]}"#, 422, "wrong_type"),
            send(
                .put, "/v1/limits",
                #"{"limits":[{"name":"x","meter":"tokens","window":"day","user":1},{"name":"x","meter":"tokens","window":"hour","user":1}]}"#,
                422, "duplicate_limit"),
            send(
                .put, "/v1/limits",
                #"{"limits":[\#(many)]}"#, 422,
                "too_many_limits"),
        ]
        return rows
    }

    static let holdEnds = RefusalTable(name: "ends of holds", rows: badCommits + badPolicies)

    private static var badCommits: [Refusal] {
        let rows: [Refusal] = [
            send(
                .post, "/v1/holds/h/commit", #"{"subject":"b","credits":1}"#, 404, "hold_not_found"),
            send(
                .post, "/v1/holds/h/commit", #"{"subject":"b","credits":1,"policy":"cap"}"#, 404,
                "hold_not_found"),
            send(
                .post, "/v1/holds/none/commit", #"{"subject":"a","credits":1}"#, 404,
                "hold_not_found"),
            send(.post, "/v1/holds/none/commit", #"{"credits":1}"#, 404, "hold_not_found"),
            send(.post, "/v1/holds/h/commit", "{}", 422, "field_required"),
            send(.post, "/v1/holds/h/commit", #"{"credits":null}"#, 422, "field_required"),
            send(
                .post, "/v1/holds/h/commit", #"{"credits":11,"policy":"reject"}"#, 409,
                "exceeds_hold"),
            send(
                .post, "/v1/holds/h/commit", #"{"id":"e","credits":2}"#, 409,
                "event_already_counted"),
            send(
                .post, "/v1/holds/h/commit", #"{"id":"e","credits":4}"#, 422,
                "idempotency_key_reused"),
            send(
                .post, "/v1/holds/h/commit", #"{"credits":1,"time":"2026-11-01T10:00:00Z"}"#, 422,
                "timestamp_too_old"),
            send(
                .post, "/v1/holds/h/commit", #"{"credits":1,"time":"2026-11-22T10:00:00Z"}"#, 422,
                "timestamp_in_future"),
        ]
        return rows
    }

    private static var badPolicies: [Refusal] {
        [#""x""#, "1", "true", #""""#, #""CAP""#, "[]"].map { policy in
            let body = #"{"credits":1,"policy":\#(policy)}"#
            return send(.post, "/v1/holds/h/commit", body, 422, "invalid_value")
        }
    }
}
