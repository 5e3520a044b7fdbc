// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Testing

/// A connection remembers its last head; what it answers must be the same as if it did not.
@Suite struct RepeatedHeadTests {
    private func post(_ body: String, _ length: String? = nil, head: String = "") -> String {
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \(length ?? String(body.utf8.count))\r\n"
            + "\(head)X: y\r\n\r\n\(body)"
    }

    private func answers(_ live: LiveServer, _ bytes: [UInt8]) throws -> [String] {
        let client = try Client(live)
        client.send(bytes)
        client.end()
        let text = client.readTextToEnd()
        return text.split(separator: "HTTP/1.1 ").map { answer in
            answer.split(separator: "\r\n").filter { !$0.hasPrefix("Date:") }.joined()
        }
    }

    @Test func `A head that differs in any byte is answered as if it were the first`() async throws
    {
        try await withServer { live in
            let first = latin1(post("hello, world"))
            for place in 0..<first.count - 12 {
                for other in latin1(" \t0139+-x:\r\n\u{0}\u{ff}") + [first[place] ^ 0x20] {
                    var second = first
                    second[place] = other
                    let alone = try answers(live, second)
                    let behind = try answers(live, first + second)
                    #expect(Array(behind.dropFirst()) == alone, "\(other) at \(place)")
                }
            }
        }
    }

    @Test func `Bodies of other lengths follow each other`() async throws {
        try await withServer({ $0.maxBody = 5000 }) { live in
            let lengths = [5, 9, 10, 11, 99, 10, 100, 1, 0, 0, 7, 4999, 5000, 1000, 3]
            let requests = lengths.map { post(String(repeating: "b", count: $0)) }
            let text = try answers(live, latin1(requests.joined()))
            #expect(
                text.map { $0.split(separator: "len=").last.map(String.init) }
                    == lengths.map { "\($0)" })
        }
    }

    @Test(arguments: ["5001", "9999", "+999", "0x10", "1e03", " 999", "99 9", "99,9", "-001"])
    func `A length that is none or too long is refused behind a good one`(length: String)
        async throws
    {
        try await withServer({ $0.maxBody = 5000 }) { live in
            let good = post(String(repeating: "b", count: 1000))
            let bad = post("bbb", length)
            let alone = try answers(live, latin1(bad))
            let behind = try answers(live, latin1(good + bad))
            #expect(Array(behind.dropFirst()) == alone)
        }
    }

    @Test func `A repeated request may come in any two parts`() async throws {
        try await withServer({ $0.headerDeadline = .seconds(600) }) { live in
            let (first, second) = (latin1(post("hello")), latin1(post("world")))
            for cut in 1..<second.count {
                let client = try Client(live)
                client.send(first + second[..<cut])
                await live.server.turn()
                client.send(second[cut...] + latin1(canary))
                #expect(statuses(client.readTextToEnd()) == [200, 200, 200], "cut at \(cut)")
            }
        }
    }

    @Test func `Each of several that expect 100 is told to go on`() async throws {
        try await withServer { live in
            let client = try Client(live)
            for _ in 0..<3 {
                client.send(post("", "5", head: "Expect: 100-continue\r\n"))
                #expect(client.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
                client.send("hello")
                #expect(client.read(until: "len=5").contains("HTTP/1.1 200"))
            }
        }
    }

    @Test func `A responder sees the fields of its own request`() async throws {
        try await withServer { live in
            let client = try Client(live)
            for note in ["aa", "bb", "bb", "ab"] {
                client.send("GET /header HTTP/1.1\r\nHost: x\r\nX-Note: \(note)\r\n\r\n")
                #expect(client.read(until: note).hasSuffix("\r\n\r\n\(note)"))
            }
        }
    }

    @Test func `Chunked bodies follow each other, and nothing of them is read as another request`()
        async throws
    {
        try await withServer { live in
            let head = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            let chunked = head + "5\r\nhello\r\n0\r\n\r\n"
            let text = try answers(live, latin1(chunked + chunked + chunked + canary))
            #expect(text.map { $0.hasPrefix("200") } == [true, true, true, true])
            let bad = try answers(live, latin1(chunked + head + canary + canary))
            #expect(bad.map { String($0.prefix(3)) } == ["200", "400"])
        }
    }
}
