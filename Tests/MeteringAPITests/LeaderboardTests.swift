// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct LeaderboardTests {
    private static let path = "/v1/leaderboards/tokens"

    private static func entries(_ answer: Answer, _ name: String = "entries") -> [String] {
        (answer.json[name] as? [[String: Any]] ?? []).map {
            "\($0["rank"] ?? "") \($0["subject"] ?? "") \($0["value"] ?? "")"
        }
    }

    private static func count(
        _ harness: Harness, _ values: [(String, Int)], time: String? = nil
    ) async {
        for (subject, value) in values {
            let at = time.map { #","time":"\#($0)""# } ?? ""
            let answer = await harness.post(
                #"{"subject":\#(quoted(subject)),"meters":{"tokens":\#(value)}\#(at)}"#,
                query: time == nil ? nil : "backfill=true")
            #expect(answer.status == 200, "\(answer.text)")
        }
    }

    @Test func `Each window counts its days, and says which`() async throws {
        try await withAPI { _, harness, _ in
            await Self.count(harness, [("a", 1), ("b", 1)])
            await Self.count(harness, [("b", 10)], time: "2026-11-20T23:59:59Z")
            await Self.count(harness, [("c", 100)], time: "2026-11-01T00:00:00Z")
            await Self.count(harness, [("a", 1000)], time: "2026-10-31T23:59:59Z")
            await Self.count(harness, [("d", 10_000)], time: "2025-11-22T00:00:00Z")
            let (a, b, c) = ("a", "b", "c")
            let cases: [(window: String, from: String?, to: String?, [(String, Int)])] = [
                ("1d", "2026-11-21", "2026-11-21", [(a, 1), (b, 1)]),
                ("2d", "2026-11-20", "2026-11-21", [(b, 11), (a, 1)]),
                ("7d", "2026-11-15", "2026-11-21", [(b, 11), (a, 1)]),
                ("month", "2026-11-01", "2026-11-30", [(c, 100), (b, 11), (a, 1)]),
                ("30d", "2026-10-23", "2026-11-21", [(a, 1001), (c, 100), (b, 11)]),
                ("364d", "2025-11-23", "2026-11-21", [(a, 1001), (c, 100), (b, 11)]),
                (
                    "365d", "2025-11-22", "2026-11-21",
                    [("d", 10_000), (a, 1001), (c, 100), (b, 11)]
                ),
                ("lifetime", nil, nil, [("d", 10_000), (a, 1001), (c, 100), (b, 11)]),
                ("2026-11-20", "2026-11-20", "2026-11-20", [(b, 10)]),
                ("2026-11-22", "2026-11-22", "2026-11-22", []),
                ("2026-10-31..2026-11-01", "2026-10-31", "2026-11-01", [(a, 1000), (c, 100)]),
                ("2026-11-20..2030-01-01", "2026-11-20", "2030-01-01", [(b, 11), (a, 1)]),
                (
                    "3660d", "2016-11-14", "2026-11-21",
                    [("d", 10_000), (a, 1001), (c, 100), (b, 11)]
                ),
            ]
            for (window, from, to, board) in cases {
                let answer = await harness.get(Self.path, query: "window=\(window)")
                #expect(answer.status == 200, "\(window): \(answer.text)")
                #expect(answer.json["meter"] as? String == "tokens")
                #expect(answer.json["window"] as? String == window)
                #expect(answer.json["from"] as? String == from, "\(window)")
                #expect(answer.json["to"] as? String == to, "\(window)")
                #expect(answer.json["next"] is NSNull)
                #expect(answer.json["warnings"] == nil)
                let expected = board.enumerated().map { "\($0 + 1) \($1.0) \($1.1)" }
                #expect(Self.entries(answer) == expected, "\(window)")
            }
        }
    }

    @Test(arguments: ["1d", "30d", "lifetime", "2026-11-21"])
    func `A subject's place comes with those around it`(window: String) async throws {
        try await withAPI { _, harness, _ in
            await Self.count(
                harness, [("anna", 5), ("bert", 9), ("carl", 5), ("dora", 2), ("émile", 1)])
            let place = await harness.get(
                Self.path + "/subjects/carl", query: "window=\(window)&neighbours=1")
            #expect(place.status == 200, "\(place.text)")
            #expect(place.json["rank"] as? Int == 3)
            #expect(place.json["value"] as? Int == 5)
            #expect(place.json["gap"] as? Int == 0)
            #expect(place.json["of"] as? Int == 5)
            #expect(place.json["subject"] as? String == "carl")
            #expect(Self.entries(place, "above") == ["2 anna 5"])
            #expect(Self.entries(place, "below") == ["4 dora 2"])
            let first = await harness.get(
                Self.path + "/subjects/bert", query: "window=\(window)&mask=true")
            #expect(first.json["gap"] is NSNull)
            #expect(first.json["subject"] as? String == "bert")
            #expect(Self.entries(first, "above") == [])
            #expect(
                Self.entries(first, "below") == ["2 a*** 5", "3 c*** 5", "4 d*** 2", "5 é*** 1"])
            let alone = await harness.get(
                Self.path + "/subjects/%C3%A9mile", query: "window=\(window)&neighbours=0")
            #expect(alone.json["gap"] as? Int == 1)
            #expect(Self.entries(alone, "above") == [])
            let board = await harness.get(Self.path, query: "window=\(window)&mask=true&limit=2")
            #expect(Self.entries(board) == ["1 b*** 9", "2 a*** 5"])
            #expect(board.json["next"] is NSNull)
            #expect(!board.text.contains("anna") && !board.text.contains("bert"))
            let nobody = await harness.get(
                Self.path + "/subjects/nobody", query: "window=\(window)")
            #expect(nobody.status == 404)
            expectProblem(nobody, at: Self.path + "/subjects/nobody", "nobody")
        }
    }

    @Test(arguments: ["1d", "7d", "lifetime"])
    func `Pages go on behind the last entry while values change`(window: String) async throws {
        try await withAPI { _, harness, _ in
            await Self.count(
                harness,
                [("a", 7), ("b", 7), ("c", 7), ("d", 7), ("e", 3), ("f", 2), ("g", 1)])
            func page(_ cursor: String?) async -> (entries: [String], next: String?) {
                let answer = await harness.get(
                    Self.path,
                    query: "window=\(window)&limit=2" + (cursor.map { "&cursor=\($0)" } ?? ""))
                #expect(answer.status == 200, "\(answer.text)")
                return (Self.entries(answer), answer.json["next"] as? String)
            }
            let first = await page(nil)
            #expect(first.entries == ["1 a 7", "2 b 7"])
            // The cursor's own subject goes up; the others stay where they are.
            await Self.count(harness, [("b", 100)])
            let second = await page(first.next)
            #expect(second.entries == ["3 c 7", "4 d 7"])
            await Self.count(harness, [("e", 100), ("cc", 7), ("z", 2)])
            let third = await page(second.next)
            #expect(third.entries == ["7 f 2", "8 z 2"])
            let last = await page(third.next)
            #expect(last.entries == ["9 g 1"])
            #expect(last.next == nil)
        }
    }

    @Test func `What is no window, cursor or number of neighbours is refused`() async throws {
        try await withAPI { _, harness, _ in
            let windows = [
                "", "0d", "01d", "-1d", "1", "d", "3661d", "9999d", "10000d", "1w", "1D", "1 d",
                "1d%00", "%d9%a1d", "Month", "months", "lifetime%20", "today", "2026-11", "..",
                "2026-11-31", "2026-11-21..", "..2026-11-21", "2026-11-21..2026-11-20",
                "2026-11-21...2026-11-22", "2026-11-21..2026-11-22..2026-11-23",
                "2000-01-01..2026-01-01",
                "2026-11-21-2026-11-22", "0000-01-01", "2026-11-21T00:00:00Z", "20261121",
            ]
            for path in [Self.path, Self.path + "/subjects/a"] {
                for window in windows {
                    let request = HTTPRequest.authorized(.get, path, query: "window=\(window)")
                    try await harness.expectRefusal(request, 400, "invalid_parameter", window)
                }
                for flag in ["mask=", "mask=1", "mask=True"] {
                    let request = HTTPRequest.authorized(.get, path, query: flag)
                    try await harness.expectRefusal(request, 400, "invalid_parameter", flag)
                }
            }
            let cursors = [
                "", "x", "%00", "!!!!", "MTphYQ==", "MDph", "LTE6YQ", "Og", "MTo", "MTox%0A",
                "OTAwNzE5OTI1NDc0MDk5Mjph", String(repeating: "a", count: 601),
            ]
            for cursor in cursors {
                let request = HTTPRequest.authorized(
                    .get, Self.path, query: "cursor=\(cursor)")
                try await harness.expectRefusal(request, 400, "invalid_cursor", cursor)
            }
            let others = [
                (Self.path, "limit=0", "invalid_parameter"),
                (Self.path, "limit=1001", "invalid_parameter"),
                (Self.path, "cursor=MTph&mask=true", "invalid_parameter"),
                (Self.path, "neighbours=1", "unknown_parameter"),
                (Self.path + "/subjects/a", "neighbours=101", "invalid_parameter"),
                (Self.path + "/subjects/a", "neighbours=-1", "invalid_parameter"),
                (Self.path + "/subjects/a", "limit=1", "unknown_parameter"),
                (Self.path + "/subjects/a", "cursor=MTph", "unknown_parameter"),
            ]
            for (path, query, code) in others {
                let request = HTTPRequest.authorized(.get, path, query: query)
                try await harness.expectRefusal(request, 400, code, query)
            }
            for path in ["files", "NOT-A-METER", "files/subjects/a"] {
                let request = HTTPRequest.authorized(
                    .get, "/v1/leaderboards/\(path)", query: "window=30d")
                try await harness.expectRefusal(request, 404, "not_found", path)
            }
        }
    }

    @Test func `A window more than there may be is refused until one is left alone`() async throws {
        try await withPoolAPI { host, harness, _ in
            _ = await harness.post(#"{"subject":"a","meters":{"tokens":1}}"#)
            var answers: [Answer] = []
            // Every window of its own length.
            for days in 2...66 {
                var answer: Answer
                repeat {
                    answer = await harness.get(Self.path, query: "window=\(days)d")
                    await host.loop.sleep(for: .milliseconds(2))
                } while answer.code == "leaderboard_building"
                answers.append(answer)
            }
            #expect(answers.prefix(64).allSatisfy { $0.status == 200 })
            let refused = answers.last
            #expect(refused?.code == "too_many_leaderboards")
            #expect(refused?.headers["retry-after"] == "60")
        }
    }
}
