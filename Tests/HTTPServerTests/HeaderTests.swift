// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Testing

@Suite struct HeaderTests {
    private func text(_ headers: HTTPHeaders, _ name: StaticString) -> String? {
        headers.withBytes(of: name) { String(decoding: $0, as: UTF8.self) }
    }

    /// Shorter than a word, a word, longer, two words, and longer than these.
    private static let names: [StaticString] = [
        "te", "expires", "location", "x-powered", "content-encoding", "x-forwarded-for-them",
    ]

    @Test(arguments: 0..<names.count)
    func `A name is found in any case, and no other name instead of it`(index: Int) {
        let name = Self.names[index]
        let bytes = Array(name.description.utf8)
        let upper = name.description.uppercased()
        #expect(text([upper: "v"], name) == "v")
        #expect(text([upper + "s": "v", "x": "y"], name) == nil)
        for place in bytes.indices {
            var capital = bytes
            if capital[place] >= 0x61 { capital[place] ^= 0x20 }
            #expect(text([String(decoding: capital, as: UTF8.self): "v"], name) == "v")
            // Neighbours of letters, and what differs from a letter as its capital does.
            for other: UInt8 in [
                0x0d, 0x40, 0x5b, 0x60, 0x7b, bytes[place] ^ 1, bytes[place] | 0x80,
            ] {
                var wrong = bytes
                wrong[place] = other
                let field = HTTPHeaders([(name: String(decoding: wrong, as: UTF8.self), value: "v")]
                )
                #expect(text(field, name) == nil)
            }
        }
    }

    @Test func `The first of several fields is the one`() {
        let headers: HTTPHeaders = ["a-b": "", "A-B": "2", "x": "3"]
        #expect(text(headers, "a-b")?.isEmpty == true)
        #expect(headers.value(of: "A-b")?.isEmpty == true)
        #expect(headers.values(of: "a-b") == ["", "2"])
        #expect(text(headers, "ab") == nil)
        #expect(text([:], "ab") == nil)
    }

    @Test func `A control character is refused at any place of a value`() async throws {
        try await withServer { live in
            for length in 1...17 {
                for place in 0..<length {
                    for control: Character in ["\u{0}", "\u{1f}", "\u{7f}"] {
                        var value = [Character](repeating: "v", count: length)
                        value[place] = control
                        let client = try Client(live)
                        client.send("GET /a HTTP/1.1\r\nHost: x\r\nX: a\(String(value))b\r\n\r\n")
                        #expect(statuses(client.readTextToEnd()) == [400])
                    }
                }
            }
        }
    }

    @Test func `A field is written in its own bytes, whatever was written before it`() async throws
    {
        try await withServer { live in
            let client = try Client(live)
            for path in ["/composed", "/decomposed", "/composed"] {
                client.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
            }
            client.end()
            let answers = client.readToEnd()
            let composed = Array("X-Name: \u{e9}\r\n".utf8)
            let decomposed = Array("X-Name: e\u{301}\r\n".utf8)
            #expect(answers.split(separator: composed).count == 3)
            #expect(answers.split(separator: decomposed).count == 2)
        }
    }
}
