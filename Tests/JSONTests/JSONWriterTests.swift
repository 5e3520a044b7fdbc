// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@Suite struct JSONWriterTests {
    private func written(_ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test func `Commas stand between members and elements only`() {
        let text = written {
            $0.beginObject()
            $0.key("a")
            $0.beginArray()
            $0.integer(1)
            $0.string("x")
            $0.beginObject()
            $0.endObject()
            $0.null()
            $0.endArray()
            $0.key(bytes: "q\"".utf8)
            $0.boolean(true)
            $0.key("r")
            $0.raw(Array("[]".utf8))
            $0.endObject()
        }
        #expect(text == #"{"a":[1,"x",{},null],"q\"":true,"r":[]}"#)
    }

    @Test func `Pieces bring their own commas`() {
        let text = written {
            $0.piece(#"{"a":"#)
            $0.string(bytes: Array("x\"y".utf8))
            $0.piece(#","b":{"#)
            $0.key("c")
            $0.integer(.min)
            $0.key("d")
            $0.integer(.max)
            $0.piece("}}")
        }
        #expect(
            text == #"{"a":"x\"y","b":{"c":-9223372036854775808,"d":9223372036854775807}}"#)
    }

    @Test func `What the writer escapes, the reader reads back`() throws {
        var all = String(String.UnicodeScalarView((1...0x1FF).compactMap(Unicode.Scalar.init)))
        all += "€😀\u{2028}\u{ffff}"
        let text = written { $0.string(all) }
        #expect(try JSONReader().read(text).text == all)
        #expect(written { $0.string("\u{1f}\n\t\r\"\\" as String) } == #""\u001f\n\t\r\"\\""#)
    }

    @Test(arguments: [
        (0, "0"), (-1, "-1"), (1005, "1005"), (Int.max, "9223372036854775807"),
        (Int.min, "-9223372036854775808"),
    ])
    func `Integers are written to their last digit`(value: Int, expected: String) {
        #expect(written { $0.integer(value) } == expected)
    }

    @Test(arguments: [
        (0, "0"), (1_500_000, "1.5"), (1, "0.000001"), (-1, "-0.000001"),
        (-500_000, "-0.5"), (-1_250_000, "-1.25"), (7_000_000, "7"), (100_010, "0.10001"),
        (9_007_199_254_740_991, "9007199254.740991"),
    ])
    func `Micro-units are written as exact decimals`(value: Int, expected: String) {
        #expect(written { $0.micros(value) } == expected)
        #expect(
            written {
                $0.beginArray(); $0.integer(2); $0.micros(value); $0.endArray()
            }
                == "[2,\(expected)]")
    }
}
