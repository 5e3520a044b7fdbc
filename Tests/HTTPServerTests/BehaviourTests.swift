// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPServer
import Observability
import Testing

@Suite struct BehaviourTests {
    private func get(_ path: String, _ head: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: x\r\n\(head)\r\n"
    }

    private func exchange(_ live: LiveServer, _ text: String) throws -> String {
        let client = try Client(live)
        client.send(text)
        client.end()
        return client.readTextToEnd()
    }

    @Test func `Pipelined requests are answered in their order, however late each answer is`()
        async throws
    {
        try await withServer { live in
            let paths = ["/late", "/a", "/async", "/hold", "/hold", "/b", "/release", "/c"]
            let text = try exchange(live, paths.map { get($0) }.joined())
            #expect(
                echoes(text) == [
                    "/late", "/a", "/async", "/release", "/release", "/b", "/release", "/c",
                ])
        }
    }

    @Test func `5,000 pipelined requests are answered in order, past the cap`() async throws {
        try await withServer { live in
            let paths = (0..<5000).map { $0 % 7 == 0 ? "/async" : "/\($0)" }
            let text = try exchange(live, paths.map { get($0) }.joined())
            #expect(echoes(text) == paths)
        }
    }

    @Test func `Reading pauses while as many requests as the cap allows are unanswered`()
        async throws
    {
        try await withServer({ $0.maxPipelined = 3 }) { live in
            let client = try Client(live)
            client.send(String(repeating: get("/hold"), count: 5))
            let other = try Client(live)
            // An answer on another connection: by then the first one's bytes have been read too.
            other.send(get("/seen", "Connection: close\r\n"))
            _ = other.readToEnd()
            while live.journal.all.count < 4 { await live.server.turn() }
            #expect(live.journal.all.filter { $0 == "/hold" }.count == 3)
            let releaser = try Client(live)
            releaser.send(get("/release", "Connection: close\r\n"))
            _ = releaser.readToEnd()
            while live.journal.all.filter({ $0 == "/hold" }).count < 5 {
                await live.server.turn()
            }
        }
    }

    @Test func `HEAD gets the headers of GET and no body`() async throws {
        try await withServer { live in
            for path in ["/abc", "/stream"] {
                let client = try Client(live)
                client.send("HEAD \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                let text = client.readTextToEnd()
                #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(text.hasSuffix("\r\n\r\n"))
                let framing =
                    path == "/abc" ? "Content-Length: 14\r\n" : "Transfer-Encoding: chunked\r\n"
                #expect(text.contains(framing))
            }
        }
    }

    @Test func `A client that expects 100 is told to go on before it sends its body`()
        async throws
    {
        try await withServer { live in
            let client = try Client(live)
            client.send(
                "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
            #expect(client.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            client.send("abc")
            #expect(client.read(until: "len=3").hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
    }

    @Test func `100 Continue waits for the answers of earlier requests`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(
                get("/late") + "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    + "Content-Length: 3\r\n\r\n")
            #expect(statuses(client.read(until: "100 Continue\r\n\r\n")) == [200, 100])
            client.send("abc")
            #expect(client.read(until: "len=3").hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
    }

    @Test func `HTTP 1.0 closes unless it asks to be kept`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
            let text = client.readTextToEnd()
            #expect(echoes(text) == ["/a", "/b"])
            #expect(text.contains("Connection: keep-alive\r\n"))
            #expect(text.contains("Connection: close\r\n"))
        }
    }

    @Test func `A peer that ends its half still gets its late answer`() async throws {
        try await withServer { live in
            try #expect(echoes(exchange(live, get("/late"))) == ["/late"])
        }
    }

    @Test func `OPTIONS is the responder's, and 204 has neither body nor length`() async throws {
        try await withServer { live in
            let text = try exchange(live, "OPTIONS /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(statuses(text) == [204])
            #expect(!text.contains("Content-Length"))
            #expect(text.contains("\r\nDate: "))
        }
    }

    @Test func `No header value of an answer begins another header`() async throws {
        try await withServer { live in
            let text = try exchange(live, get("/inject"))
            #expect(text.contains("X-A: bSet-Cookie: c\r\n"))
            #expect(!text.contains("\r\nSet-Cookie"))
            #expect(!text.contains("999"))
            #expect(!text.contains("z\r\n"))
        }
    }

    @Test func `Names of headers are compared without case`() async throws {
        try await withServer { live in
            try #expect(
                exchange(live, get("/header", "X-NOTE:  hi there \t\r\n")).hasSuffix("hi there"))
        }
    }

    @Test(arguments: ["Host", "Authorization", "Content-Type", "Idempotency-Key"])
    func `A header that decides must not come twice`(_ name: String) async throws {
        try await withServer { live in
            let first = name == "Host" ? "" : "\(name): a\r\n"
            let text = try exchange(live, get("/a", first + "\(name.uppercased()): a\r\n"))
            #expect(statuses(text) == [400])
            #expect(text.contains("\"code\":\"duplicate_header\""))
        }
    }

    @Test func `A path is parted at slashes before it is decoded`() async throws {
        try await withServer { live in
            for path in ["/a%2f..%2fb", "/..%2Fb", "/a%2F..", "/%2F.", "/...", "/a/.b/..c"] {
                try #expect(echoes(exchange(live, get(path))) == [path])
            }
            for path in ["/.", "/..", "/%2e", "/%2E./b", "/a/.%2e", "/a%2fb/../c", "/./"] {
                let text = try exchange(live, get(path))
                #expect(statuses(text) == [400] && text.contains("invalid_uri"), "\(path)")
            }
        }
    }

    @Test func `A large answer arrives whole at a slow reader`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(get("/bytes/8000000", "Connection: close\r\n"))
            var count = 0
            while let part = client.read(7000) { count += part.count }
            #expect(count > 8_000_000)
        }
    }

    @Test(arguments: ["", "0123456789", "X: y\r\n"])
    func `A chunked body is whole with its last byte, whatever comes behind`(part: String)
        async throws
    {
        try await withServer { live in
            let client = try Client(live)
            let chunk = part.first?.isNumber == true ? "a\r\n\(part)\r\n" : ""
            let trailer = part.first == "X" ? part : ""
            let head = "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            // Nothing is sent behind it, and the connection stays open on this side.
            client.send("POST /a HTTP/1.1\r\nHost: x\r\n\(head)\(chunk)0\r\n\(trailer)\r\n")
            #expect(client.readTextToEnd().hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `A streamed body arrives in chunks and ends`() async throws {
        try await withServer { live in
            let text = try exchange(live, get("/stream") + get("/after"))
            #expect(text.contains("Transfer-Encoding: chunked\r\n\r\nc350\r\n"))
            #expect(text.contains("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"))
            #expect(text.utf8.count > 2_000_000)
            #expect(echoes(text) == ["/after"])
        }
    }

    @Test func `A streamed body for HTTP 1.0 ends with the connection`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let bytes = client.readToEnd()
            #expect(!client.wasReset)
            let head = String(decoding: bytes.prefix(400), as: UTF8.self)
            #expect(!head.contains("chunked") && head.contains("Connection: close\r\n"))
            #expect(bytes.count > 2_000_000)
        }
    }

    @Test func `A stream that fails cuts the connection without an end`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(get("/broken"))
            #expect(!client.readTextToEnd().hasSuffix("0\r\n\r\n"))
        }
    }

    @Test func `A body that would end with the connection and is not whole ends with a reset`()
        async throws
    {
        try await withServer { live in
            let client = try Client(live)
            client.send("GET /broken HTTP/1.0\r\n\r\n")
            _ = client.readToEnd()
            #expect(client.wasReset, "one that fails")
        }
        try await withServer({ $0.writeDeadline = .milliseconds(50) }) { live in
            let client = try Client(live)
            client.send("GET /endless HTTP/1.0\r\n\r\n")
            while !live.journal.sawPeerGone { try await Task.sleep(for: .milliseconds(1)) }
            _ = client.readToEnd()
            #expect(client.wasReset, "one that nobody takes")
        }
        try await withServer { live in
            let client = try Client(live)
            client.send("GET /endless HTTP/1.0\r\n\r\n")
            _ = client.read()
            await live.server.shutdown(deadline: .milliseconds(1))
            _ = client.readToEnd()
            #expect(client.wasReset, "one that a stop cuts")
        }
        // What the peer asked for whole it gets whole, also when it has no more to say.
        try await withServer { live in
            let client = try Client(live)
            client.send("GET /stream HTTP/1.0\r\n\r\n")
            client.end()
            #expect(client.readToEnd().count > 2_000_000)
            #expect(!client.wasReset)
        }
    }

    @Test func `A stream stops when its reader is gone`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(get("/endless"))
            _ = client.read()
            client.close()
            while !live.journal.sawPeerGone { try await Task.sleep(for: .milliseconds(1)) }
        }
    }

    @Test func `An answer for a peer that is gone is dropped`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(get("/hold"))
            while live.journal.all.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
            client.close()
            try #expect(echoes(exchange(live, get("/release"))) == ["/release"])
        }
    }

    @Test func `A responder that forgets a reply costs that connection only`() async throws {
        try await withServer { live in
            try #expect(exchange(live, get("/forget") + get("/a")) == "")
            try #expect(echoes(exchange(live, get("/b"))) == ["/b"])
        }
    }

    @Test func `A request after a refused one on a kept connection is not answered`()
        async throws
    {
        try await withServer { live in
            let text = try exchange(live, get("/a") + "garbage\r\n\r\n" + canary)
            #expect(statuses(text) == [200, 400] || statuses(text) == [200, 501])
            #expect(echoes(text) == ["/a"])
        }
    }
}

@Suite struct ExecutorTests {
    @Test func `Async answers run on the thread of the loop`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send("GET /async HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(echoes(client.readTextToEnd()) == ["/async"])
            #expect(live.journal.stayedOnLoop)
        }
    }
}
