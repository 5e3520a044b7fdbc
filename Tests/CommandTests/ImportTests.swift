// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import TallyCommand

/// What an import makes of files that are not quite as they should be.
@Suite struct ImportTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func file(_ name: String, latin text: String) throws -> String {
        let path = "\(folder.path)/\(name)"
        let data = try #require(text.data(using: .isoLatin1))
        try data.write(to: URL(filePath: path))
        return path
    }

    @Test func `Rows that are not UTF-8 fail with their lines, and count nothing`() async throws {
        let service = try StandIn()
        let words = ["--columns", "subject=subject,tokens=tokens"]
        let rows = try file(
            "latin.csv",
            latin: "subject,tokens,note\nM\u{fc}ller,1,\nali,5,\nM\u{f6}ller,10,\nb,1,\u{e9}")
        let outcome = await tally(["import", rows] + words, service.environment)
        #expect(outcome.code == 1)
        #expect(outcome.output.hasPrefix("read 4, counted 1, duplicates 0, failed 3 ("))
        #expect(
            outcome.errors
                == "line 2: is not UTF-8\nline 4: is not UTF-8\nline 5: is not UTF-8\n")
        let top = await tally(["top", "tokens"], service.environment)
        #expect(top.output == "rank  subject  tokens\n   1  ali           5\n")
        let header = try file("header.csv", latin: "subject,tokens,Gr\u{f6}\u{df}e\na,1,2\n")
        let refused = await tally(["import", header] + words, service.environment)
        #expect(refused.code == 66)
        #expect(refused.errors.contains("header.csv: line 1 is not UTF-8"), "\(refused.errors)")
    }

    @Test func `Profiles that are not UTF-8 fail with their lines`() async throws {
        let service = try StandIn()
        let rows = try file("p.csv", latin: "id,full_name\na,M\u{fc}ller\nb,B\n")
        let table = await tally(["import-subjects", rows], service.environment)
        #expect(table.code == 1)
        #expect(table.output == "read 2, created 1, updated 0, unchanged 0, failed 1\n")
        #expect(table.errors == "line 2: is not UTF-8\n")
        let lines = try file("p.ndjson", latin: "{\"id\":\"M\u{fc}ller\"}\n{\"id\":\"c\"}\n")
        let told = await tally(["import-subjects", lines], service.environment)
        #expect(told.output == "read 2, created 1, updated 0, unchanged 0, failed 1\n")
        #expect(told.errors == "line 1: is not UTF-8\n")
        let header = try file("h.csv", latin: "id,n\u{e4}me\na,b\n")
        let refused = await tally(["import-subjects", header], service.environment)
        #expect(refused.code == 66)
        #expect(refused.errors.contains("h.csv: line 1 is not UTF-8"), "\(refused.errors)")
    }

    @Test(arguments: [
        (
            #"{"id":null,"subject":"a","n":1e2}"#,
            #"{"subject":"a","n":1e2,"id":"s:1","action":"A","model":"M"}"#
        ),
        (
            #"{"model" : null , "action":null,"subject":"a"}"#,
            #"{"subject":"a","id":"s:1","action":"A","model":"M"}"#
        ),
        (
            #"{"subject":null,"id":"x","action":"b","model":"c"}"#,
            #"{"id":"x","action":"b","model":"c","subject":"user-86"}"#
        ),
        // Names may be escaped; what looks alike within values stays.
        (
            #"{"i\u0064":null,"subject":"\"id\":null","o":{"id":null,"a":[{"id":null}]},"description":null}"#,
            #"{"subject":"\"id\":null","o":{"id":null,"a":[{"id":null}]},"description":null,"#
                + #""id":"s:1","action":"A","model":"M"}"#
        ),
    ])
    func `A member that is null is one that was left out`(line: String, event: String) throws {
        let items = try folder.items(
            "e.ndjson", line,
            ["--source", "s", "--action", "A", "--model", "M", "--subject-spread", "500:42"])
        #expect(items == [.init(line: 1, result: .event(event))])
    }

    @Test func `Of a long cell that is no time or number only the start is told`() throws {
        let long = String(repeating: "\u{e9}x", count: 100_000)
        let words = ["--columns", "time=t,n=n", "--source", "s"]
        let items = try folder.items(
            "e.csv", "t,n\n\(long),1\n,\(long)\n,\(String(repeating: "9", count: 100_000))", words)
        let start = String(repeating: "\u{e9}x", count: 33)
        #expect(
            items.map(\.result) == [
                .bad("\"\(start)…\" is no time"),
                .bad("n is \"\(start)…\", which is no whole number"),
                .bad("n is \"\(String(repeating: "9", count: 100))…\", which is too large"),
            ])
    }

    @Test func `A profile with another number of cells fails, and those behind it are imported`()
        async throws
    {
        let service = try StandIn()
        let table = try folder.file("p.csv", "id,email\na,a@x.org\nb\nc,c@x.org,3\nd,d@x.org\n")
        let told = await tally(["import-subjects", table], service.environment)
        #expect(told.code == 1)
        #expect(told.output == "read 4, created 2, updated 0, unchanged 0, failed 2\n")
        #expect(
            told.errors
                == "line 3: has 1 cells, the first line has 2\nline 4: has 3 cells, the first line has 2\n"
        )
    }

    @Test func `A table of profiles with a column twice is refused`() async throws {
        let service = try StandIn()
        let table = try folder.file("p.csv", "id,email,email\na,a@x.org,b@x.org\n")
        let told = await tally(["import-subjects", table], service.environment)
        #expect(told.code == 66)
        #expect(told.errors.contains("p.csv: has the column \"email\" twice"), "\(told.errors)")
    }

    @Test func `A null that nothing is put in for stays`() throws {
        let line = #"{"id":"x","subject":null,"action":null,"model":null}"#
        #expect(try folder.items("e.ndjson", line) == [.init(line: 1, result: .event(line))])
    }

    @Test func `An empty cell is a value that was left out`() async throws {
        let text = """
            key,when,act,engine,note,In,Out,Who
            ,,,,,,7,a
            x,2026-01-31,,,,1,,a
            y,,chat,big,,1,2,a
            ,,,,"",,,a
            ,,,,,3,,
            """
        let words = [
            "--columns",
            "id=key,time=when,action=act,model=engine,description=note,input_tokens=In,"
                + "output_tokens=Out,subject=Who", "--action", "A", "--source", "s",
        ]
        let items = try folder.items("e.csv", text, words)
        #expect(
            items.map(\.result) == [
                .event(#"{"id":"s:2","subject":"a","action":"A","meters":{"output_tokens":7}}"#),
                .bad("\"2026-01-31\" is no time"),
                .event(
                    #"{"id":"y","subject":"a","action":"chat","model":"big","#
                        + #""meters":{"input_tokens":1,"output_tokens":2}}"#),
                .event(#"{"id":"s:5","subject":"a","action":"A","meters":{}}"#),
                .event(#"{"id":"s:6","action":"A","meters":{"input_tokens":3}}"#),
            ])
        let service = try StandIn()
        let file = try folder.file("e.csv", text)
        let outcome = await tally(["import", file] + words, service.environment)
        #expect(outcome.output.hasPrefix("read 5, counted 2, duplicates 0, failed 3 ("))
        #expect(outcome.errors.contains("line 5: subject or meters is missing\n"))
        #expect(outcome.errors.contains("line 6: subject or meters is missing\n"))
        #expect(await tally(["import", "--help"]).output.contains("empty cell"))
    }

    @Test func `A line that is too long fails alone`() async throws {
        let service = try StandIn()
        func event(_ subject: String, _ length: Int) -> String {
            let rest = #"{"subject":"\#(subject)","meters":{"n":1},"description":""}"#
            return rest.dropLast(2) + String(repeating: "x", count: length - rest.utf8.count)
                + "\"}"
        }
        let limit = 1 << 20
        let file = try folder.file(
            "e.ndjson",
            [
                event("a", limit), event("b", limit + 1), event("c", 100), event("d", 5 * limit),
                event("e", 100), event("f", 3 * limit),
            ]
            .joined(separator: "\n"))
        let outcome = await tally(["import", file], service.environment)
        #expect(outcome.code == 1)
        #expect(outcome.output.hasPrefix("read 6, counted 3, duplicates 0, failed 3 ("))
        #expect(
            outcome.errors == [2, 4, 6].map { "line \($0): is longer than 1 MiB\n" }.joined())
        let people = try folder.file(
            "p.ndjson",
            "{\"id\":\"\(String(repeating: "x", count: 2 * limit))\"}\n{\"id\":\"a\"}")
        let told = await tally(["import-subjects", people], service.environment)
        #expect(told.output == "read 2, created 1, updated 0, unchanged 0, failed 1\n")
        #expect(told.errors == "line 1: is longer than 1 MiB\n")
    }

    private static let megabyte = 1 << 20

    @Test func `A row that is too long fails alone`() async throws {
        let service = try StandIn()
        let good = Array(repeating: "a,1,,\n", count: 500).joined()
        let long = String(repeating: "x", count: 9 * Self.megabyte)
        let file = try folder.file(
            "e.csv",
            "subject,n,note,rest\n\(good)b,1,\(long),\n\(good)c,1,,\(long)\nd,\(long),,\n")
        let outcome = await tally(
            ["import", file, "--columns", "subject=subject,tokens=n,description=note"],
            service.environment)
        #expect(outcome.code == 1)
        // A column that is not asked for is not sent: what stands in it may have any length.
        #expect(outcome.output.hasPrefix("read 1003, counted 1001, duplicates 0, failed 2 ("))
        #expect(
            outcome.errors.prefix(1000)
                == "line 502: is longer than 1 MiB\nline 1004: is longer than 1 MiB\n")
        let people = try folder.file("p.csv", "id,full_name\na,A\nb,\(long)\nc,C\n")
        let told = await tally(["import-subjects", people], service.environment)
        #expect(told.output == "read 3, created 2, updated 0, unchanged 0, failed 1\n")
        #expect(told.errors.prefix(1000) == "line 3: is longer than 1 MiB\n")
    }

    /// The stand-in refuses what the service refuses: a request of more than 8 MiB.
    @Test func `Long rows and lines make no request too long`() async throws {
        let service = try StandIn()
        // As an event the one is just below the limit, the other six times as long as its row.
        let plain = String(repeating: "x", count: Self.megabyte - 200)
        let marks = String(repeating: "\u{1}", count: Self.megabyte - 200)
        let rows = (1...10).map { "a,1,\(plain)\n" + ($0 == 3 ? "b,1,\(marks)\n" : "") }
        let table = try folder.file("e.csv", "subject,n,note\n" + rows.joined())
        let words = ["--columns", "subject=subject,tokens=n,description=note"]
        let outcome = await tally(["import", table] + words, service.environment)
        #expect(outcome.output.hasPrefix("read 11, counted 10, duplicates 0, failed 1 ("))
        #expect(outcome.errors == "line 5: is longer than 1 MiB\n")
        let event = #"{"subject":"a","meters":{"n":1},"description":"\#(plain)"}"# + "\n"
        let lines = try folder.file("e.ndjson", String(repeating: event, count: 20))
        let told = await tally(["import", lines], service.environment)
        #expect(told.output.hasPrefix("read 20, counted 20, duplicates 0, failed 0 ("))
        let people = try folder.file(
            "p.csv", "id,full_name\n" + (1...10).map { "p\($0),\(plain)\n" }.joined())
        let profiles = await tally(["import-subjects", people], service.environment)
        #expect(profiles.output == "read 10, created 10, updated 0, unchanged 0, failed 0\n")
    }

    @Test func `An amount that is too large is called so`() throws {
        let items = try folder.items(
            "e.csv", "n\n99999999999999999999\n-1\n1.5\n007\n", ["--columns", "tokens=n"])
        #expect(
            items.map(\.result) == [
                .bad("tokens is \"99999999999999999999\", which is too large"),
                .bad("tokens is \"-1\", which is no whole number"),
                .bad("tokens is \"1.5\", which is no whole number"),
                .event(#"{"id":"e.csv:5","meters":{"tokens":7}}"#),
            ])
    }

    @Test func `A byte order mark is passed over, also where a pipe brings it in parts`() throws {
        let mark: [UInt8] = [0xef, 0xbb, 0xbf]
        let csv = ["--columns", "subject=subject,n=n", "--format", "csv"]
        let line = #"{"id":"p:1","subject":"a","meters":{"n":1}}"#
        let row = #"{"id":"p:2","subject":"a","meters":{"n":1}}"#
        for (name, text, words, event) in [
            ("lines", line, [], EventReader.Item(line: 1, result: .event(line))),
            ("rows", "subject,n\na,1\n", csv, .init(line: 2, result: .event(row))),
        ] {
            // With three bytes at a time the mark comes alone.
            for count in 1...4 {
                let path = try folder.pipe("\(name)\(count)", mark + Array(text.utf8), by: count)
                let items = try folder.items(of: path, words + ["--source", "p"])
                #expect(items == [event], "\(name) by \(count)")
            }
        }
        for (name, bytes) in [("mark", mark), ("nothing", [])] {
            let path = try folder.pipe(name, bytes)
            #expect(try folder.items(of: path) == [], "\(name)")
        }
        // A part of one is none, and no bytes of it are lost.
        let part = try folder.pipe("part", mark.dropLast() + Array("\n\(line)".utf8))
        let items = try folder.items(of: part, ["--source", "p"])
        #expect(
            items == [
                .init(line: 1, result: .bad("is not UTF-8")), .init(line: 2, result: .event(line)),
            ])
    }

    @Test func `Spaces around a cell are no part of it, unless it stands in quotes`() async throws {
        let text = "id, subject ,\"note\",n\n 1 ,\tann\t,a note , 7\n2, \" bob \" ,\" \",7 \n"
        let words = ["--columns", "id=id,subject=subject,description=note,n=n"]
        #expect(
            try folder.items("e.csv", text, words).map(\.result) == [
                .event(
                    #"{"id":"1","subject":"ann","description":"a note","meters":{"n":7}}"#),
                .event(#"{"id":"2","subject":" bob ","description":" ","meters":{"n":7}}"#),
            ])
        for verb in ["import", "import-subjects"] {
            #expect(await tally([verb, "--help"]).output.contains("Spaces"), "\(verb)")
        }
    }

    @Test func `Lines of events that are not UTF-8 fail as others do`() async throws {
        let service = try StandIn()
        let lines = try file(
            "e.ndjson",
            latin: "{\"subject\":\"M\u{fc}ller\",\"meters\":{\"n\":1}}\n"
                + "{\"subject\":\"a\",\"meters\":{\"n\":1}}\n")
        let outcome = await tally(["import", lines], service.environment)
        #expect(outcome.output.hasPrefix("read 2, counted 1, duplicates 0, failed 1 ("))
        #expect(outcome.errors == "line 1: is not UTF-8\n")
    }

    @Test(arguments: [
        (["top", "tokens", "extra"], "\"extra\""),
        (["import", "a.ndjson", "b.ndjson"], "\"b.ndjson\""),
        (["import-subjects", "a.csv", "b.csv"], "\"b.csv\""),
        (["export", "events", "balances"], "\"balances\""), (["restore", "a", "b"], "\"b\""),
        (["verify", "data"], "\"data\""), (["serve", "data"], "\"data\""),
        (["import", "a", "b", "c\u{1b}", "d", "e", "f"], "\"b\", \"c\\u{1b}\", \"d\" and 2 more"),
    ])
    func `A word too many is named`(words: [String], part: String) async {
        let outcome = await tally(words)
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 2, "\(outcome.errors)")
    }

    @Test(arguments: [
        ["top", "tokens", "-k", "a-secret"], ["record", "a", "n=1", "-k", "a-secret"],
        ["import", "a", "--kee", "a-secret"],
    ])
    func `What follows an option that nobody knows is not repeated`(words: [String]) async {
        let outcome = await tally(words)
        #expect(outcome.code == 2)
        #expect(!outcome.errors.contains("a-secret"), "\(outcome.errors)")
    }
}
