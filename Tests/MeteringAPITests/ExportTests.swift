// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// One after the other: the client blocks a thread of the pool that tests share.
@Suite(.serialized, .timeLimit(.minutes(15))) struct ExportTests {
    static let subjects = [
        "plain", "a,b", "say \"hi\"", "=1+1", "+49 170", "-x", "@me", "  =1", "é", "e\u{301}",
        "\u{1F600}", "line\u{2028}", "'quoted", "\u{ff1d}1", "back\\slash", "a;b", "\"",
    ]

    /// What a cell of hostile text is in CSV.
    static func defused(_ text: String) -> String {
        let start = text.drop { $0 == " " }.first
        return start.map { "=+-@\u{ff1d}".contains($0) } == true ? "'" + text : text
    }

    @Test func `Events come whole in every format, whatever their ids are`() async throws {
        try await withExports { bench in
            let client = bench.client()
            var lines = ""
            for (index, subject) in Self.subjects.enumerated() {
                lines +=
                    #"{"id":"e\#(index)","subject":\#(quoted(subject)),"#
                    + #""action":\#(quoted("=" + subject)),"meters":{"tokens":\#(index),"#
                    + #""zebra":7,"alpha_2":\#(index)},"credits":"1.25","description":"\#(index)"}"#
                    + "\n"
            }
            lines +=
                #"{"subject":"unnamed","time":"2026-11-20T00:00:00.5Z","meters":{"messages":1}}"#
            let posted = try client.post("/v1/events", lines, type: "application/x-ndjson")
            #expect(posted.json["counted"] as? Int == Self.subjects.count + 1, "\(posted.text)")
            #expect(try client.post("/v1/events/e3/reverse", "").status == 200)

            let csv = try client.get("/v1/export/events")
            #expect(csv.headers["content-type"] == "text/csv; charset=utf-8; header=present")
            #expect(
                csv.headers["content-disposition"]
                    == "attachment; filename=\"tally-events-2026-11-21.csv\"")
            #expect(csv.text.hasPrefix("id,time,subject,action,model,description,credits,cost,"))
            #expect(
                csv.text.utf8.split(separator: UInt8(ascii: "\n")).allSatisfy {
                    $0.last == UInt8(ascii: "\r")
                })
            let rows = try readByPython(csv.body, "csv")
            #expect(rows.count == Self.subjects.count + 2)
            #expect(rows[0]["tokens"] as? String == "-3")
            #expect(rows[0]["credits"] as? String == "-1.25")
            #expect(rows[0]["reverses"] as? String == "e3")
            #expect(rows[1]["reverses"] as? String == "")
            #expect(rows[1]["time"] as? String == "2026-11-20T00:00:00.500Z")
            for (row, (index, subject)) in zip(
                rows.dropFirst(2), Self.subjects.enumerated().reversed())
            {
                #expect(row["id"] as? String == "e\(index)")
                #expect(row["subject"] as? String == Self.defused(subject))
                #expect(row["action"] as? String == "'=" + subject)
                #expect(row["credits"] as? String == "1.25")
                #expect(row["credits_micro"] as? String == "1250000")
                #expect(row["other"] as? String == #"{"alpha_2":\#(index),"zebra":7}"#)
                #expect(row["model"] as? String == "" && row["files_failed"] as? String == "")
            }
            for format in ["json", "ndjson"] {
                let answer = try client.get("/v1/export/events?format=\(format)")
                let values = try readByPython(answer.body, format)
                #expect(values.count == rows.count)
                for (value, row) in zip(values, rows) {
                    #expect(Set(value.keys) == Set(row.keys))
                    let (subject, other) = (value["subject"] as? String ?? "", row["subject"])
                    #expect(Self.defused(subject) == other as? String)
                    #expect(
                        (value["tokens"] as? Int).map(String.init) ?? "" == row["tokens"] as? String
                    )
                    #expect(value["model"] is NSNull)
                }
                #expect(values.last?["other"] as? [String: Int] == ["alpha_2": 0, "zebra": 7])
            }
            let one = try client.get(
                "/v1/export/events?subject=%3D1%2B1&min_credits=1.25&format=json")
            #expect(try readByPython(one.body, "json").map { $0["id"] as? String } == ["e3"])
            let none = try client.get("/v1/export/events?action=nothing&format=json")
            #expect(try readByPython(none.body, "json").isEmpty)
            #expect(try client.get("/v1/export/events?action=nothing&format=ndjson").body.isEmpty)
        }
    }

    @Test func `Balances come as they are asked for one by one, each once`() async throws {
        try await withExports { bench in
            let client = bench.client()
            var random = SeededGenerator(3)
            var subjects: Set<[UInt8]> = []
            let rule = #"{"default_allowance":"10","rollover_max":"2.5"}"#
            let put = try client.request(
                "PUT", "/v1/credit-policy", Array(rule.utf8), "application/json")
            #expect(put.status == 200, "\(put.text)")
            for index in 0..<150 {
                let subject = index < Self.subjects.count ? Self.subjects[index] : "s\(index)"
                let path = "/v1/credits/\(percentEncoded(subject))"
                switch random.next() % 3 {
                case 0:
                    let body = #"{"id":"g","credits":"3.5","expires_at":"2026-12-01T00:00:00Z"}"#
                    #expect(try client.post(path + "/grants", body).status == 201)
                case 1:
                    let body = #"{"subject":\#(quoted(subject)),"credits":"7.25","meters":{}}"#
                    #expect(try client.post("/v1/events", body).status == 200)
                default:
                    let body = Array(#"{"monthly_allowance":"20"}"#.utf8)
                    let answer = try client.request(
                        "PUT", path + "/allowance", body, "application/json")
                    #expect(answer.status == 200, "\(answer.text)")
                }
                subjects.insert(Array(subject.utf8))
            }
            let hold = #"{"id":"h","subject":"s149","credits":"0.5","ttl_s":86400}"#
            let held = try client.post("/v1/holds", hold)
            #expect(held.status == 201, "\(held.text)")
            // What a guest had is the user's, and it is listed no more.
            #expect(
                try client.post("/v1/credits/guest%3Ag/grants", #"{"id":"x","credits":"1"}"#)
                    .status == 201)
            let merged = try client.post("/v1/subjects/s149/merge", #"{"guest":"guest:g"}"#)
            #expect(merged.status == 200, "\(merged.text)")
            // The month's resets, and what expires, come without anybody's looking.
            for days in [0, 15, 30] {
                bench.clock.advance(days * 86_400_000)
                let answer = try client.get("/v1/export/balances?format=json")
                let rows = try readByPython(answer.body, "json")
                let names = rows.compactMap { $0["subject"] as? String }
                #expect(names.count == subjects.count)
                #expect(Set(names.map { Array($0.utf8) }) == subjects)
                #expect(
                    zip(names, names.dropFirst()).allSatisfy {
                        Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8))
                    })
                for (row, name) in zip(rows, names) {
                    var single = try client.get("/v1/credits/\(percentEncoded(name))").json
                    single["grants"] = nil
                    #expect(
                        NSDictionary(dictionary: row) == NSDictionary(dictionary: single), "\(name)"
                    )
                }
                let csv = try readByPython(try client.get("/v1/export/balances").body, "csv")
                #expect(csv.map { $0["subject"] as? String } == names.map { Self.defused($0) })
            }
        }
    }

    @Test func `The board of today comes as a file`() async throws {
        try await withExports { bench in
            let client = bench.client()
            for (index, subject) in Self.subjects.enumerated() {
                let body = #"{"subject":\#(quoted(subject)),"meters":{"tokens":\#(100 - index)}}"#
                #expect(try client.post("/v1/events", body).status == 200)
            }
            let answer = try client.get("/v1/export/leaderboard?meter=tokens&window=1d")
            let rows = try readByPython(answer.body, "csv")
            #expect(rows.map { $0["subject"] as? String } == Self.subjects.map { Self.defused($0) })
            #expect(rows.map { $0["rank"] as? String } == (1...rows.count).map(String.init))
            #expect(rows[0]["value"] as? String == "100")
        }
    }

    @Test(arguments: ["csv", "json", "ndjson"])
    func `A series of more buckets than an answer has comes part by part`(format: String)
        async throws
    {
        try await withExports { bench in
            let client = bench.client()
            for (hours, tokens) in [(0, 1), (30, 2), (100, 4)] {
                let time = Timestamp(milliseconds: 1_795_255_200_000 - hours * 3_600_000)
                let body =
                    #"{"subject":"s","time":"\#(time.text)","meters":{"tokens":\#(tokens)}}"#
                #expect(try client.post("/v1/events", body).status == 200)
            }
            func rows(_ query: String) throws -> [[String: Any]] {
                let path = "/v1/export/series?meter=tokens&format=\(format)&\(query)"
                let answer = try client.get(path)
                #expect(answer.status == 200, "\(path): \(answer.text.prefix(300))")
                return try readByPython(answer.body, format)
            }
            func number(_ row: [String: Any], _ name: String) -> Int? {
                row[name] as? Int ?? (row[name] as? String).flatMap { Int($0) }
            }
            // Three years of hours: each of them once, in their order.
            let hours = try rows("bucket=hour&from=2023-11-21&to=2026-11-21&fill=zero")
            let starts = hours.compactMap { $0["start"] as? String }
            #expect(starts.count == 1_097 * 24 && Set(starts).count == starts.count)
            #expect(starts == starts.sorted())
            #expect(starts.first == "2023-11-21T00:00:00Z")
            #expect(starts.last == "2026-11-21T23:00:00Z")
            #expect(hours.compactMap { number($0, "value") }.reduce(0, +) == 7)
            for query in [
                "bucket=hour&from=1990-05-07T12:30:00Z", "bucket=day&from=1800-01-01",
                "bucket=month&from=1700-01-01&to=2400-12-31",
                "bucket=day&from=1900-01-01&subject=s",
            ] {
                let values = try rows(query).compactMap { number($0, "value") }
                #expect(values.reduce(0, +) == 7, "\(query)")
                #expect(values.count == (query.contains("month") ? 1 : 3), "\(query)")
            }
        }
    }

    @Test func `A series comes as a file, whole or by action`() async throws {
        try await withExports { bench in
            let client = bench.client()
            for (index, subject) in Self.subjects.enumerated() {
                let body =
                    #"{"subject":\#(quoted(subject)),"action":\#(quoted(subject)),"#
                    + #""meters":{"tokens":\#(1 << index)}}"#
                #expect(try client.post("/v1/events", body).status == 200)
            }
            let query = "meter=tokens&bucket=hour&from=2026-11-21&to=2026-11-21"
            let plain = try readByPython(
                try client.get("/v1/export/series?\(query)&format=json").body, "json")
            #expect(plain.count == 1)
            #expect(plain.first?["start"] as? String == "2026-11-21T10:00:00Z")
            #expect(plain.first?["value"] as? Int == (1 << Self.subjects.count) - 1)
            #expect(plain.first?["subjects"] as? Int == Self.subjects.count)
            let all = try readByPython(
                try client.get("/v1/export/series?\(query)&fill=zero").body, "csv")
            #expect(all.map { $0["events"] as? String }.filter { $0 == "0" }.count == 23)
            let groups = try readByPython(
                try client.get("/v1/export/series?\(query)&group_by=action").body, "csv")
            #expect(
                groups.map { $0["action"] as? String }
                    == Self.subjects.reversed().map { Self.defused($0) })
            #expect(groups.first?["value"] as? String == "\(1 << (Self.subjects.count - 1))")
            #expect(try client.get("/v1/export/series?format=csv").status == 400)
        }
    }
}
