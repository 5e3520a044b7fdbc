// SPDX-License-Identifier: Apache-2.0

import CSV
import Foundation
import Testing

@testable import TallyCommand

/// What an import makes of files that stop being CSV, or are no text.
@Suite struct MalformedFileTests {
    private static let words = ["--columns", "subject=id,tokens=n"]
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test(arguments: [
        ("c,\"3\nd,4\ne,5", "begins a cell in quotes that does not end"),
        ("c,\"3\nd,\"4\"\ne,5\n", "begins a cell in quotes that does not end"),
        ("c,3\"\nd,4\n", "has a quote in a cell that begins without one"),
    ])
    func `Rows before a quote that stands wrong are sent, and its line is named`(
        rest: String, problem: String
    ) async throws {
        let service = try StandIn()
        let file = try folder.file("e.csv", "id,n\na,\"1\n\"\nb,2\na,1\n\(rest)")
        let outcome = await tally(["import", file] + Self.words, service.environment)
        #expect(outcome.code == 1)
        #expect(outcome.output.hasPrefix("read 4, counted 2, duplicates 0, failed 2 ("))
        #expect(outcome.errors.contains("line 6: \(problem)"), "\(outcome.errors)")
        let told = await tally(["import-subjects", file], service.environment)
        #expect(told.output == "read 4, created 2, updated 1, unchanged 0, failed 1\n")
        #expect(told.errors.hasPrefix("line 6: \(problem)"), "\(told.errors)")
        let header = try folder.file("h.csv", "id,\"n\na,1\n")
        let refused = await tally(["import", header] + Self.words, service.environment)
        #expect(refused.code == 66)
        #expect(refused.errors.contains("h.csv: line 1 begins a cell in quotes"))
    }

    @Test func `What is kept of a cell or a row while it is read is bounded`() throws {
        let limit = 100
        let parser = try #require(CSVParser(cellBytesMax: limit))
        func rows(_ text: String) throws -> [CSVRow] {
            try stride(from: 0, to: text.utf8.count, by: 64).flatMap {
                try parser.rows(Array(text.utf8.dropFirst($0).prefix(64)))
            }
        }
        let spaces = String(repeating: " ", count: 1000)
        let long = String(repeating: "é\n\"\"", count: 5000)
        let found = try rows(
            "a,\"\(long)\"\(spaces),b\nc,d\(spaces)\ne,f\(spaces)g\n"
                + String(repeating: "x,", count: 5000) + "\ny,z\n")
        #expect(found.map(\.line) == [1, 5002, 5003, 5004, 5005])
        #expect(found[0].cells.map { $0.utf8.count > limit } == [false, true, false])
        #expect(found[0].cells[1].utf8.count < 10 * limit)
        #expect(found[1].cells == ["c", "d"])
        #expect(found[2].cells[1].utf8.count > limit)
        #expect(found[3].isTooLong && found[3].cells.isEmpty)
        #expect(found[4].cells == ["y", "z"])
        #expect(throws: CSVParser.Malformed.self) {
            _ = try rows("h,i\n\"\(long)\(long)")
            _ = try parser.rows([])
        }
    }

    @Test func `A file that is no UTF-8 text as a whole is called by its name`() async throws {
        let service = try StandIn()
        for (bytes, problem) in [
            ([0x1f, 0x8b, 8, 0], "is gzip: unpack it first"),
            ([0xff, 0xfe, 0x69, 0], "is UTF-16: convert it to UTF-8"),
            ([0xfe, 0xff, 0, 0x69], "is UTF-16: convert it to UTF-8"),
        ] as [([UInt8], String)] {
            for name in ["e.csv", "e.ndjson"] {
                let path = "\(folder.path)/\(name)"
                try Data(bytes).write(to: URL(filePath: path))
                for words in [["import", path] + Self.words, ["import-subjects", path]] {
                    let outcome = await tally(words, service.environment)
                    #expect(outcome.code == 66)
                    #expect(outcome.errors.contains("\(path): \(problem)"), "\(outcome.errors)")
                    #expect(!outcome.errors.contains("line"), "\(outcome.errors)")
                }
            }
            // A pipe brings the mark in parts.
            let pipe = try folder.pipe("p\(bytes[0])", bytes)
            #expect(throws: ClientError.self) { try folder.items(of: pipe) }
        }
    }
}
