// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

private func code(_ bytes: [UInt8], _ limits: JSONLimits = JSONLimits()) -> JSONError.Code? {
    do throws(JSONError) {
        _ = try JSONReader(limits: limits).read(bytes)
        return nil
    } catch {
        return error.code
    }
}

private func code(_ text: String) -> JSONError.Code? { code(Array(text.utf8)) }

@Suite struct JSONReaderTests {
    @Test(arguments: [
        "", " ", "\n\t", "{", "[", "}", "]", "{]", "[}", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1:2]",
        #"{"a":1,}"#, #"{,"a":1}"#, #"{"a" 1}"#, #"{"a":}"#, #"{"a"}"#, #"{"a":1 "b":2}"#,
        #"{"a":1,,"b":2}"#, #"{"a"::1}"#, "{1:2}", "{a:1}", "{'a':1}", "{null:1}", #"{"a":1]"#,
        "nul", "nulll", "truex", "tru", "True", "NULL", "fals", "falsey", "[truefalse]", "nan",
        "NaN", "Infinity", "-Infinity", "[+1]", "[.5]", "1_0", "0x10", "[1]]", "[1][2]", "{}{}",
        "1 2", #""a""b""#, #""a"b"#, #"1"a""#, "true false", "[1]//c", "[1]/*c*/", "/**/[1]", "#",
        "[1]x", "[1]\u{0}", "[\u{c}1]", "\u{a0}[1]", "[1\u{2060}]", #"["a"#, #"["a\""#, #"{"a":"b"#,
        #"["a",'b']"#, "[\"\\", "[1", "[1,", "[[1]", #"{"a":{}"#, #"{"a":[1}"#, ":", ",", "[-]",
        "[--1]", "[- 1]", "[1.]", "[1.e1]", "[01]", "[-01]", "[1e]", "[1e+]", "[0e+-1]", "[1.2.3]",
        "[0.1.2]", "[1ea]", "[2.e3]", "[0.3e]", "[1a]", "[1\u{ff11}]", "[-1x]", "[0e]", "[1-2]",
    ])
    func `What is not JSON is refused`(text: String) {
        let found = code(text)
        #expect(found == .invalidJSON || found == .invalidNumber)
    }

    @Test(arguments: [
        "null", "true", "false", "0", "-0", "1", "-1", "10", "1.5", "0.0", "1e5", "1E+5", "-1.5e-5",
        #""""#, "[]", "{}", " [ ] ", "\n{\t}\r", "[[],[[]],{}]", #"{"":0}"#, #"{"a":{"a":1}}"#,
        #"["\"\\\/\b\f\n\r\t"]"#, #"["\u00e9\uD83D\uDE00"]"#, "[\"\u{7f}\u{2028}\u{ffff}\"]",
        "1e400", "[123456789012345678901234567890]", #"["a",1,true,null,{"b":[]}]"#,
    ])
    func `What is JSON is read`(text: String) {
        #expect(code(text) == nil)
    }

    @Test(arguments: [
        "01", "-", "1.", "-01", "1e", "1.e5", "00", "-x", "1x", "1.5.1", "0b1", "1e5.5",
        String(repeating: "7", count: 33), String(repeating: "9", count: 1 << 20),
    ])
    func `Malformed and endless numbers are refused as such`(text: String) {
        #expect(code(text) == .invalidNumber)
        #expect(code("[\(text)]") == .invalidNumber)
    }

    @Test(arguments: [
        #"\ud800"#, #"\udc00"#, #"\ud800x"#, #"\ud800\u0041"#, #"\ud800\ud800"#, #"\ud800\n"#,
        #"\u0000"#, #"\x41"#, #"\u12"#, #"\u12G4"#, #"\u"#, #"\U0041"#, #"\'"#, #"\a"#, "x\u{0}",
        "\u{1}", "\n", "\t", "\r", "\u{1f}", #"\ud83d\u"#, #"a\u000"#, "\\\u{e9}",
    ])
    func `Bad escapes, half pairs and control characters are refused`(inside: String) {
        #expect(code("\"\(inside)\"") == .invalidString)
        #expect(code("{\"\(inside)\":1}") == .invalidString)
        #expect(
            code("[1,{\"a\":\"long enough to fill a block of input \(inside) and more\"}]") != nil)
    }

    static let badEncodings: [[UInt8]] = [
        [0xEF, 0xBB, 0xBF, 0x31], [0xFF, 0xFE, 0x31, 0], [0xFE, 0xFF, 0, 0x31],
        [0x7B, 0, 0x7D, 0], [0, 0x7B, 0, 0x7D], [0x31, 0, 0, 0], [0, 0, 0, 0x31],
    ]
    static let badSequences: [[UInt8]] = [
        [0xFF], [0xC3], [0x80], [0xC0, 0xAF], [0xC1, 0x81], [0xE0, 0x80, 0xAF], [0xE2, 0x82],
        [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80],
        [0xF0, 0x80, 0x80, 0xAF], [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
        [0xFC, 0x83, 0xBF, 0xBF, 0xBF, 0xBF], [0xE9],
    ]

    @Test(arguments: badEncodings + badSequences.map { [0x22] + $0 + [0x22] })
    func `Anything but UTF-8 is refused`(bytes: [UInt8]) {
        #expect(code(bytes) == .invalidEncoding)
    }

    @Test(arguments: badSequences, [0, 20, 61, 62, 63, 64, 127])
    func `Bad UTF-8 is found wherever it stands`(sequence: [UInt8], before: Int) {
        let text = [0x22] + [UInt8](repeating: 0x61, count: before) + sequence + [0x62, 0x22]
        #expect(code(text) == .invalidEncoding)
    }

    @Test(arguments: [
        #"{"a":1,"a":1}"#, #"{"a":1,"\u0061":2}"#, #"{"":1,"":2}"#, #"[{"x":{"k":1,"b":2,"k":3}}]"#,
        #"{"a":{"b":[1]},"a":null}"#, #"{"\/":1,"/":2}"#,
    ])
    func `The same key twice is refused, however it is spelled`(text: String) {
        #expect(code(text) == .duplicateKey)
    }

    @Test func `Composed and decomposed keys are two keys`() {
        #expect(code("{\"caf\u{e9}\":1,\"cafe\u{301}\":2}") == nil)
    }

    @Test(arguments: [2, 24, 25, 26, 500, 1000])
    func `Duplicates are found among few and many keys`(count: Int) {
        let keys = (0..<count).map { "\"k\($0)\":\($0)" }
        #expect(code("{" + keys.joined(separator: ",") + "}") == nil)
        let twice = keys.dropLast() + ["\"k0\":{}"]
        #expect(code("{" + twice.joined(separator: ",") + "}") == .duplicateKey)
    }

    /// Its memory grows with tokens, and is given back behind many small documents.
    @Test func `Large documents, and small ones behind them, are read as they are`() throws {
        let reader = try JSONReader()
        for count in [1, 63, 64, 65, 300_000, 3] {
            for _ in 0..<(count == 3 ? 200 : 1) {
                let text = "[" + Array(repeating: "7", count: count).joined(separator: ",") + "]"
                let value = try reader.read(Array(text.utf8))
                #expect(value.count == count && value.elements.allSatisfy { $0.integer == 7 })
            }
        }
        let commas = Array("[".utf8) + [UInt8](repeating: UInt8(ascii: ","), count: 1 << 21)
        #expect(throws: JSONError.self) { try reader.read(commas) }
        let small = try reader.read(Array(#"{"a":[1,{"b":2}]}"#.utf8))
        #expect(small["a"]?.count == 2)
    }

    @Test func `A flood of keys is refused at once`() {
        // What comes behind the first thousand is not read: it is no JSON.
        let text = "{" + (0..<100_000).map { "\"k\($0)\":1" }.joined(separator: ",") + ",:]"
        #expect(code(Array(text.utf8)) == .tooManyFields)
        let allowed = (0..<1000).map { "\"k\($0)\":1" }.joined(separator: ",")
        #expect(code("{" + allowed + "}") == nil)
        #expect(code("{" + allowed + ",\"x\":1}") == .tooManyFields)
    }

    @Test func `Depth has a limit and costs no stack`() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(code(nested(16)) == nil)
        #expect(code(nested(17)) == .tooDeep)
        #expect(code(String(repeating: "[", count: 100_000)) == .tooDeep)
        #expect(code(String(repeating: "{\"a\":", count: 100_000)) == .tooDeep)
        let deep = JSONLimits(depth: 1_000_000)
        #expect(code(Array(nested(500_000).utf8), deep) == nil)
    }

    @Test func `Strings have a limit`() {
        let limits = JSONLimits(stringBytes: 8)
        #expect(code(Array(#""12345678""#.utf8), limits) == nil)
        #expect(code(Array(#""123456789""#.utf8), limits) == .stringTooLong)
        #expect(code(Array(#""\u00e9\u00e9\u00e9\u00e9""#.utf8), limits) == nil)
        #expect(code(Array(#"{"123456789":1}"#.utf8), limits) == .stringTooLong)
        let long = "\"" + String(repeating: "a", count: 1 << 20) + "\""
        #expect(code(long) == .stringTooLong)
    }

    @Test func `An error says where it is`() {
        do throws(JSONError) {
            _ = try JSONReader().read(#"{"a":1,}"#)
            Issue.record("this was read")
        } catch {
            #expect(error.offset == 7)
            #expect(error.description.contains("byte 7"))
        }
        do throws(JSONError) {
            _ = try JSONReader().read([0x22, 0xff, 0x22])
            Issue.record("this was read")
        } catch {
            #expect(error.offset == nil)
            #expect(!error.description.contains("at byte"), "\(error)")
        }
    }

    @Test(arguments: [
        ("0", JSONInteger.value(0)), ("-1", .value(-1)), ("9007199254740991", .value(1 << 53 - 1)),
        ("9223372036854775807", .value(.max)), ("-9223372036854775808", .value(.min)),
        ("9223372036854775808", .overflow), ("18446744073709551616", .overflow),
        ("99999999999999999999999999999999", .overflow), ("-9223372036854775809", .overflow),
        ("1.0", .fractional), ("1e2", .fractional), ("100e-2", .fractional), ("-0", .negativeZero),
        ("0.0", .fractional), ("-0.0", .fractional), ("1E400", .fractional),
        ("99999999999999999999.5", .fractional),
    ])
    func `Integers are read by their digits`(text: String, expected: JSONInteger) throws {
        let expected = text == "9007199254740991" ? .value(9_007_199_254_740_991) : expected
        let value = try JSONReader().read(text)
        #expect(value.integerReading == expected)
        #expect(value.number.map { String(decoding: $0, as: UTF8.self) } == text)
        if case .value(let integer) = expected { #expect(value.integer == integer) }
    }

    @Test func `An escape is resolved at any place of a string`() throws {
        let reader = try JSONReader()
        for length in 0...20 {
            for place in 0...length {
                for (sent, meant) in [(#"\""#, "\""), (#"\\"#, "\\"), (#"\u00e9"#, "\u{e9}")] {
                    let before = String(repeating: "a", count: place)
                    let after = String(repeating: "\u{a2}", count: length - place)
                    let value = try reader.read("[\"\(before)\(sent)\(after)\",\"next\"]")
                    #expect(value.elements.map(\.text) == [before + meant + after, "next"])
                }
            }
        }
    }

    @Test func `Values are reached as they were sent`() throws {
        let reader = try JSONReader()
        let value = try reader.read(
            #"{"a":[1,[2,3],{"x":"\u00e9\ud83d\ude00\n"}],"b":true,"\u0063":null,"d":1.50}"#)
        #expect(value.kind == .object && value.count == 4)
        #expect(value.members.map(\.key.text) == ["a", "b", "c", "d"])
        let elements = try #require(value["a"]).elements.map { $0 }
        #expect(elements.map(\.kind) == [.number, .array, .object])
        #expect(elements[1].elements.map(\.integer) == [2, 3])
        #expect(elements[2]["x"]?.text == "é😀\n")
        #expect(value["b"]?.boolean == true)
        #expect(value["c"]?.isNull == true)
        #expect(value["d"]?.integer == nil && value["d"]?.kind == .number)
        #expect(value["e"] == nil && value["b"]?.string == nil && value["a"]?.text == nil)
        #expect(Array(try reader.read("[]").elements).isEmpty)
    }

    @Test func `A reader serves texts of any size one after the other, also after errors`() throws {
        let reader = try JSONReader()
        for size in [1, 10_000, 3, 100_000, 7] {
            let text = "[" + (0..<size).map { "\"s\($0)\"" }.joined(separator: ",") + "]"
            #expect(try reader.read(text).elements.map(\.text).last == "s\(size - 1)")
            #expect(throws: JSONError.self) { try reader.read(text + "x") }
        }
    }
}
