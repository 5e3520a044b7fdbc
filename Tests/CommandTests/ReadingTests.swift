// SPDX-License-Identifier: Apache-2.0

import CSV
import Foundation
import Testing

@testable import TallyCommand

@Suite struct ReadingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func rows(_ text: String) throws -> [CSVReader.Row] {
        let reader = try CSVReader(InputFile(path: folder.file("in.csv", text)))
        var rows: [CSVReader.Row] = []
        while let row = try reader.next() { rows.append(row) }
        return rows
    }

    @Test func `Rows keep their lines through quotes, blank lines and all line breaks`() throws {
        let lf = try rows("\u{feff}a,b\n\"x\n\"\"y\"\"\",\"1,2\"\n\n3, 4")
        #expect(
            lf == [
                .init(line: 1, cells: ["a", "b"]), .init(line: 2, cells: ["x\n\"y\"", "1,2"]),
                .init(line: 5, cells: ["3", "4"]),
            ])
        #expect(try rows("a\r\nb\r\n\r\nc").map(\.line) == [1, 2, 4])
        #expect(try rows("a\rb\r\rc").map(\.line) == [1, 2, 4])
        #expect(try rows("").isEmpty)
    }

    @Test func `Rows across the pieces of a long file are whole`() throws {
        let all = try rows((1...20_000).map { "\($0),\"cell \($0)\"" }.joined(separator: "\r\n"))
        #expect(all.count == 20_000)
        #expect(all.allSatisfy { $0.cells == ["\($0.line)", "cell \($0.line)"] })
    }

    @Test(arguments: ["a,\"b", "a,\"b\"c\n", "a\"b\"\n"])
    func `Quotes that are not closed, or stand elsewhere, end the table`(text: String) throws {
        let found = try rows("x,y\n\(text)")
        #expect(found.map(\.line) == [1, 2])
        #expect(found.map { $0.problem == nil } == [true, false])
    }

    @Test func `CSV becomes events by the columns named`() throws {
        let items = try folder.items(
            "trace.csv",
            """
            TIMESTAMP,In,Out,Who
            2023-11-16 18:15:46.6805900,374,44,"al""i"
            yesterday,1,2,x
            2023-11-16 18:15:46,-1,2,x
            2023-11-16 18:15:46,1
            2023-11-16T18:15:46+01:00,1,2,x
            """,
            ["--columns", "time=TIMESTAMP,input_tokens=In,output_tokens=Out,subject=Who"])
        let event =
            #"{"id":"trace.csv:2","subject":"al\"i","time":"2023-11-16T18:15:46.6805900Z","#
            + #""meters":{"input_tokens":374,"output_tokens":44}}"#
        #expect(items.first == .init(line: 2, result: .event(event)))
        #expect(items.map(\.line) == [2, 3, 4, 5, 6])
        #expect(items[1].result == .bad("\"yesterday\" is no time"))
        #expect(items[2].result == .bad("input_tokens is \"-1\", which is no whole number"))
        #expect(items[3].result == .bad("has 2 cells, the first line has 4"))
    }

    @Test func `A column that is there twice is named, where it is asked for`() throws {
        let words = ["--columns", "subject=user,tokens=n"]
        #expect {
            try folder.items("t.csv", "user,n,user\na,1,b\n", words)
        } throws: { "\($0)".contains("t.csv: has the column \"user\" twice") }
        // Empty names of columns that nobody reads are common in tables.
        #expect(try folder.items("t.csv", "user,n,,\na,1,,\n", words).count == 1)
    }

    @Test func `A column that is not there is named, with the nearest`() throws {
        #expect {
            try folder.items("t.csv", "Tokens\n1\n", ["--columns", "tokens=Token"])
        } throws: { "\($0)".contains("has no column \"Token\" (did you mean Tokens?)") }
    }

    @Test func `Lines of NDJSON are sent with what they lack`() throws {
        let items = try folder.items(
            "e.ndjson",
            "\u{feff}{\"id\":\"x\",\"subject\":\"a\",\"action\":\"b\",\"n\":1e2}\r\n\n"
                + " { \"subject\": \"a\" }\n{}\n[1]\nnot\n{\"subject\":\"last\"}",
            ["--action", "chat", "--source", "s"])
        guard case .bad(let reason)? = items.dropFirst(4).first?.result else {
            Issue.record("line 6 was read")
            return
        }
        #expect(reason.hasPrefix("is no JSON object of an event: invalid_json"))
        #expect(
            items == [
                .init(
                    line: 1,
                    result: .event(#"{"id":"x","subject":"a","action":"b","n":1e2}"#)),
                .init(line: 3, result: .event(#"{"subject":"a","id":"s:3","action":"chat"}"#)),
                .init(line: 4, result: .event(#"{"id":"s:4","action":"chat"}"#)),
                .init(line: 5, result: .bad("is no JSON object of an event")),
                .init(line: 6, result: items[4].result),
                .init(
                    line: 7, result: .event(#"{"subject":"last","id":"s:7","action":"chat"}"#)),
            ])
    }

    @Test func `The spread of subjects is the same for the same seed, and Zipf's`() {
        let spread = SubjectSpread(subjects: 500, seed: 42)
        let drawn = (1...20_000).map { spread.subject(line: $0) }
        let again = SubjectSpread(subjects: 500, seed: 42)
        #expect(drawn == (1...20_000).map { again.subject(line: $0) })
        let other = SubjectSpread(subjects: 500, seed: 43)
        #expect(drawn != (1...20_000).map { other.subject(line: $0) })
        // Pinned, so that a run of another year can be compared.
        #expect(Array(drawn.prefix(5)) == ["user-86", "user-2", "user-4", "user-6", "user-1"])
        let counts = Dictionary(drawn.map { ($0, 1) }, uniquingKeysWith: +)
        // H(500) = 6.793: the first subject has 14.7 %, the tenth a tenth of it.
        #expect(abs((counts["user-1"] ?? 0) - 2944) < 200)
        #expect(abs((counts["user-10"] ?? 0) - 294) < 70)
        #expect(counts.keys.allSatisfy { (1...500).contains(Int($0.dropFirst(5)) ?? 0) })
    }

    @Test(arguments: [
        ("2023-11-16 18:15:46.6805900", "2023-11-16T18:15:46.6805900Z"),
        ("2023-11-16 18:15:46", "2023-11-16T18:15:46Z"),
        ("2023-11-16t18:15:46,5z", "2023-11-16T18:15:46.5Z"),
        ("2023-11-16T18:15:46.1234567891-02:30", "2023-11-16T18:15:46.123456789-02:30"),
        ("2023-11-16 18:15:46 +01:00", "2023-11-16T18:15:46+01:00"),
        ("2023-11-16 18:15:46.", nil), ("2023-11-16 18:15:46Z1", nil),
        ("2023-11-16 18:15", nil), ("2023-1-16 18:15:46", nil), ("", nil),
        ("2023-11-16 18:15:46 ", nil), ("２０２３-11-16 18:15:46", nil),
    ])
    func `Times without a zone are UTC`(text: String, time: String?) {
        #expect(Event.time(text) == time)
    }
}
