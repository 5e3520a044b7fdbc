// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Metering

@Suite struct NameTests {
    @Test func `A control character is found at any place of an id`() {
        for length in 0...20 {
            for place in 0...length {
                let before = String(repeating: "a", count: place)
                let after = String(repeating: "\u{7e}", count: length - place)
                for control in ["\u{0}", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}"] {
                    #expect(SubjectID(before + control + after) == nil)
                }
                for other in [" ", "~", "\u{a0}", "\u{bf}", "\u{442}", "\u{20ac}", "\u{1f600}"] {
                    #expect(SubjectID(before + other + after) != nil)
                }
            }
        }
    }

    @Test(arguments: [
        "u", "a b", "user@example.com", "+84 912 345 678", "caf\u{e9}", "cafe\u{301}", "日本", "😀",
        "{a}", "*", "../../etc/passwd", "=1+1", "\u{a0}x", "\u{e9}",
        String(repeating: "a", count: 256),
        "...", "/..", "../", "' ; redis.call(\"flushall\")", "%s%n", "\u{a2}",
    ])
    func `A subject's id may be any text without control characters`(text: String) throws {
        #expect(try #require(SubjectID(text)).id.text.utf8.elementsEqual(text.utf8))
    }

    @Test(arguments: [
        "", ".", "..", "\n", "a\r\nb", "a\tb", "\u{0}", "\u{1f}", "\u{7f}", "\u{80}", "\u{85}",
        "x\u{9f}",
        String(repeating: "a", count: 257), String(repeating: "é", count: 129),
    ])
    func `Control characters, wrong lengths and dot segments make no id`(text: String) {
        #expect(SubjectID(text) == nil)
    }

    @Test func `Composed and decomposed letters make different ids`() {
        #expect(SubjectID("caf\u{e9}") != SubjectID("cafe\u{301}"))
        #expect(Set(["caf\u{e9}", "cafe\u{301}"].map { ByteString($0) }).count == 2)
    }

    @Test func `Byte strings sort as bytes`() {
        let sorted = ["", "A", "a", "aa", "b", "é", "😀"].map { ByteString($0) }
        #expect(sorted.shuffled().sorted() == sorted)
        #expect(!(ByteString("a") < ByteString("a")))
    }

    /// Their codes stand in Redis, so that this order is for good.
    static let standardNames = [
        "input_tokens", "output_tokens", "tokens", "cached_tokens", "messages", "api_calls",
        "files_uploaded", "files_processed", "files_failed", "files_downloaded", "input_bytes",
        "output_bytes", "processing_ms", "credits_micro", "cost_micro",
    ]

    @Test func `Every standard meter is known by its name and its code`() {
        for (index, name) in Self.standardNames.enumerated() {
            let meter = Meter(name: Array(name.utf8))
            #expect(meter?.code == index + 1)
            #expect(meter?.name == name && meter?.staticName?.description == name)
            #expect(meter == Meter(code: index + 1))
            for other in Self.standardNames.indices where other != index {
                #expect(meter != Meter(code: other + 1))
            }
        }
        #expect(Meter(code: 0) == nil && Meter(code: 16) == nil)
        #expect(Meter.inputTokens.code == 1 && Meter.outputTokens.code == 2)
        #expect(Meter.tokens.code == 3 && Meter.cachedTokens.code == 4)
        #expect(Meter.creditsMicro.code == 14)
        #expect(Meter.cacheWriteTokens.name == "cache_write_tokens")
    }

    @Test(arguments: [
        "a", "x9_", "input_tokenz", "tokenz", "messagez", "output_tokenx", "cached_tokenx",
        "credits_macro", "xxxxxxxxxxxx", "xxxxxx_xxxxx", String(repeating: "z", count: 64),
    ])
    func `Any other plain name makes a meter of its own`(name: String) throws {
        let meter = try #require(Meter(name: Array(name.utf8)))
        #expect(meter.code == nil && meter.name == name)
        let last = try #require(Meter(code: 15))
        #expect(Meter.precedes(last, meter) && !Meter.precedes(meter, .inputTokens))
    }

    @Test(arguments: [
        "", "A", "Tokens", "9a", "_a", "a-b", "a b", "é", "tokens ", "a\u{0}", "a.b",
        String(repeating: "z", count: 65),
    ])
    func `Other names make no meter`(name: String) {
        #expect(Meter(name: Array(name.utf8)) == nil)
    }
}
