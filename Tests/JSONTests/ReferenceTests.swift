// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

/// The grammar of RFC 8259 once more, as plainly as it goes, to compare the reader with.
private struct Reference {
    var text: ArraySlice<UInt8>

    static func accepts(_ bytes: [UInt8]) -> Bool {
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil,
            !bytes.starts(with: [0xEF, 0xBB, 0xBF])
        else { return false }
        var reference = Reference(text: bytes[...])
        return reference.value() && reference.text.isEmpty
    }

    mutating func take(_ character: Character) -> Bool {
        guard let byte = text.first, byte == character.asciiValue else { return false }
        text.removeFirst()
        return true
    }

    mutating func space() {
        while let byte = text.first, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { text.removeFirst() }
    }

    mutating func value() -> Bool {
        space()
        defer { space() }
        if take("[") { return list("]") { $0.value() } }
        if take("{") {
            return list("}") { parser in
                parser.space()
                guard parser.string() else { return false }
                parser.space()
                return parser.take(":") && parser.value()
            }
        }
        for word in ["true", "false", "null"] where text.starts(with: word.utf8) {
            text.removeFirst(word.utf8.count)
            return true
        }
        return text.first == 0x22 ? string() : number()
    }

    mutating func list(_ end: Character, _ item: (inout Reference) -> Bool) -> Bool {
        space()
        if take(end) { return true }
        repeat {
            guard item(&self) else { return false }
            space()
        } while take(",")
        return take(end)
    }

    mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let byte = text.popFirst() {
            if byte == 0x22 { return true }
            if byte < 0x20 { return false }
            guard byte == 0x5C else { continue }
            guard let escape = text.popFirst() else { return false }
            if "\"\\/bfnrt".utf8.contains(escape) { continue }
            guard escape == UInt8(ascii: "u"), let unit = hex(), unit != 0 else { return false }
            if (0xDC00..<0xE000).contains(unit) { return false }
            if (0xD800..<0xDC00).contains(unit) {
                guard take("\\"), take("u"), let low = hex(), (0xDC00..<0xE000).contains(low)
                else { return false }
            }
        }
        return false
    }

    mutating func hex() -> Int? {
        let digits = text.prefix(4)
        guard digits.count == 4, !digits.contains(0x2B), !digits.contains(0x2D) else { return nil }
        text.removeFirst(4)
        return Int(String(decoding: digits, as: UTF8.self), radix: 16)
    }

    mutating func digits() -> Bool {
        let run = text.prefix { (0x30...0x39).contains($0) }
        text.removeFirst(run.count)
        return !run.isEmpty
    }

    mutating func number() -> Bool {
        _ = take("-")
        if !take("0") && !digits() { return false }
        if take(".") && !digits() { return false }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return digits()
        }
        return true
    }
}

@Suite struct ReferenceTests {
    static let seeds = [
        #"{"a":[1,-2.5e+3,true,false,null,"x\u00e9\ud83d\ude00\n\"\\"],"b":{"c":{},"d":[]}}"#,
        #"[0,-0,10,"é€😀",[[[]]],{"k":"v"},"","a",1e5,1.25,{"long key of many bytes":"\/\b\f"}]"#,
        #"{"id":"e1","subject":"u","meters":{"tokens":5},"time":"2026-01-01T00:00:00Z"}"#,
        #""just a string""#, "12.5", "true", #"  [ 1 , "two" , { "three" : 3 } ]  "#,
    ]

    @Test func `The reader and a plain reading of the grammar agree on mangled texts`() throws {
        let pool =
            Array(#"{}[]:,"\0123456789.eE+-truefalsn u/bd"#.utf8) + [0, 9, 10, 12, 31, 0x7F]
            + [0x80, 0xC2, 0xE2, 0xED, 0xF0, 0xFF, 0xA0, 0xBF]
        var random = SystemRandomNumberGenerator()
        let reader = try JSONReader(limits: JSONLimits(depth: 1000, numberBytes: 1000))
        var accepted = 0
        for seed in Self.seeds {
            for _ in 0..<4000 {
                var bytes = Array(seed.utf8)
                for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
                    let index = Int.random(in: 0..<bytes.count, using: &random)
                    let byte = pool[Int.random(in: 0..<pool.count, using: &random)]
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[index] = byte
                    case 1: bytes.insert(byte, at: index)
                    case 2: bytes.remove(at: index)
                    default: bytes.swapAt(index, Int.random(in: 0..<bytes.count, using: &random))
                    }
                }
                var refused: JSONError?
                do throws(JSONError) { _ = try reader.read(bytes) } catch { refused = error }
                if refused?.code == .duplicateKey { continue }
                let expected = Reference.accepts(bytes)
                #expect(
                    (refused == nil) == expected,
                    "\(String(decoding: bytes, as: UTF8.self)): \(String(describing: refused))")
                accepted += expected ? 1 : 0
            }
        }
        #expect(accepted > 5000)
    }

    @Test func `Every truncation of an object is refused`() throws {
        let reader = try JSONReader()
        for seed in Self.seeds where seed.hasPrefix("{") {
            for length in 0..<seed.utf8.count {
                #expect(throws: JSONError.self) { try reader.read(Array(seed.utf8.prefix(length))) }
            }
        }
    }
}
