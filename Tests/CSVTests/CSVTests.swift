// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import CSV

@Suite struct CSVTests {
    static func text(_ cells: [String]) -> String {
        var writer = CSVWriter()
        for cell in cells { writer.text(Array(cell.utf8)) }
        writer.endRow()
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test func `Rows are written as RFC 4180 says`() {
        #expect(
            Self.text(["a", "b,c", "d\"e", "f\r\ng", ""])
                == "\"a\",\"b,c\",\"d\"\"e\",\"f\r\ng\",\"\"\r\n")
        var writer = CSVWriter()
        writer.plain("-1.5".utf8)
        writer.none()
        writer.plain("2".utf8)
        writer.endRow()
        writer.none()
        writer.none()
        writer.endRow()
        #expect(String(decoding: writer.bytes, as: UTF8.self) == "-1.5,,2\r\n,\r\n")
        writer.removeAll()
        #expect(writer.bytes.isEmpty)
    }

    @Test(arguments: [
        "=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "   -x", "=cmd|'/c calc'!A0",
        "\u{ff1d}1", "\u{ff0b}1", "\u{ff0d}1", "\u{ff20}x", " \t", "=\"\"",
    ])
    func `What a spreadsheet would run is text`(formula: String) {
        let quoted = formula.replacing("\"", with: "\"\"")
        #expect(Self.text([formula]) == "\"'\(quoted)\"\r\n")
    }

    @Test(arguments: [
        "", " ", "a=1", "1-1", "'=1", "user@example.com", "\u{ff1c}", "\u{ef}", "e\u{301}",
        "\u{1F600}", "  a", "\"=1",
    ])
    func `Other text stays as it is`(text: String) {
        #expect(Self.text([text]) == "\"\(text.replacing("\"", with: "\"\""))\"\r\n")
    }

    @Test func `What was written is read again, in pieces of any size`() throws {
        var random = SeededGenerator(1)
        let parts = ["a", "\"", ",", "\r\n", "\n", "é", "\u{1F600}", " ", "x\"y"]
        var rows: [[String]] = []
        var writer = CSVWriter()
        for _ in 0..<500 {
            // It begins with a letter: formulas are changed.
            let row = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                (0..<Int.random(in: 0...8, using: &random)).reduce("c") { text, _ in
                    text + (parts.randomElement(using: &random) ?? "")
                }
            }
            rows.append(row)
            for cell in row { writer.text(Array(cell.utf8)) }
            writer.endRow()
        }
        let parser = try #require(CSVParser())
        var read: [CSVRow] = []
        var rest = writer.bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...50, using: &random))
            rest = rest.dropFirst(piece.count)
            read += try parser.rows(Array(piece))
        }
        read += try parser.rows([])
        #expect(read.map(\.cells) == rows)
    }

    @Test func `A row that is not UTF-8 has no cells, and spoils no other`() throws {
        let parser = try #require(CSVParser())
        let text = "a,b\nM\u{fc}ller,1\n\"\u{e9}\n\",2\nc,\u{a0}\nd,3\n"
        let rows = try parser.rows(text.unicodeScalars.map { UInt8($0.value) })
        #expect(
            rows == [
                CSVRow(line: 1, cells: ["a", "b"]), CSVRow(line: 2, cells: [], isUTF8: false),
                CSVRow(line: 3, cells: [], isUTF8: false),
                CSVRow(line: 5, cells: [], isUTF8: false), CSVRow(line: 6, cells: ["d", "3"]),
            ])
    }
}
