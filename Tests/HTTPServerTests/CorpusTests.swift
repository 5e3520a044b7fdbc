// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Observability
import Testing

@Suite struct CorpusTests {
    /// Sends a case with a canary right behind it: whatever two programs could read differently
    /// shows as an answer to the canary, or as a request that nobody sent.
    private func check(_ sample: Case, _ live: LiveServer) throws {
        let client = try Client(live)
        client.send(sample.bytes + latin1(canary))
        let text = client.readTextToEnd()
        switch sample.outcome {
        case .answered(let expected):
            #expect(statuses(text) == expected, "\(sample.name)")
            let isKept = expected.count > 1
            #expect(echoes(text) == (isKept ? ["/a", "/canary"] : ["/a"]), "\(sample.name)")
        case .refused(let status, let code):
            #expect(statuses(text) == [status], "\(sample.name)")
            #expect(echoes(text).isEmpty, "\(sample.name)")
            #expect(text.contains("\"code\":\"\(code)\""), "\(sample.name): \(text)")
            for member in ["type", "title", "detail", "instance"] {
                #expect(text.contains("\"\(member)\":\""), "\(sample.name): \(text)")
            }
            #expect(text.contains("\r\nConnection: close\r\n"), "\(sample.name)")
            #expect(text.contains("application/problem+json"), "\(sample.name)")
        }
    }

    @Test func `Bodies end where every reader agrees, or the request is refused`() async throws {
        try await withServer({ $0.maxBody = 65_536 }) { live in
            for sample in framingCases { try check(sample, live) }
        }
    }

    @Test func `Request lines and headers are strict, or the request is refused`() async throws {
        try await withServer({ $0.maxBody = 65_536 }) { live in
            for sample in headCases { try check(sample, live) }
        }
    }

    @Test func `A refused request reaches no responder, nor does what hides behind it`()
        async throws
    {
        try await withServer { live in
            for sample in framingCases + headCases {
                guard case .refused = sample.outcome, sample.name != "body-70k" else { continue }
                try check(sample, live)
            }
            #expect(live.journal.all.isEmpty)
        }
    }

    private static let valid = [
        "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Long: some value  \r\n\r\n",
        "\r\nPOST /a HTTP/1.1\r\nContent-Length: 5\r\nHost: [::1]:80\r\n\r\nhello",
        "POST /a HTTP/1.1\r\nHost: x:80\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    ]

    @Test(arguments: valid)
    func `A request split at any byte gets the same answer`(_ request: String) async throws {
        try await withServer({ $0.headerDeadline = .seconds(600) }) { live in
            let bytes = latin1(request)
            for cut in 1..<bytes.count {
                let client = try Client(live)
                client.send(Array(bytes[..<cut]))
                // Lets the server read the first part by itself.
                await live.server.turn()
                client.send(Array(bytes[cut...]) + latin1(canary))
                let text = client.readTextToEnd()
                #expect(statuses(text) == [200, 200], "cut at \(cut): \(text)")
                #expect(text.contains("u=[/a] len=\(request.hasPrefix("GET") ? 0 : 5)"))
            }
        }
    }

    @Test(arguments: valid)
    func `A request cut off at any byte reaches no responder`(_ request: String) async throws {
        try await withServer { live in
            let bytes = latin1(request)
            for cut in 1..<bytes.count {
                let client = try Client(live)
                client.send(Array(bytes[..<cut]))
                client.end()
                #expect(client.readToEnd().isEmpty)
            }
            #expect(live.journal.all.isEmpty)
        }
    }

    @Test func `A request sent byte by byte is understood`() async throws {
        try await withServer({ $0.headerDeadline = .seconds(600) }) { live in
            for request in Self.valid {
                let client = try Client(live)
                for byte in latin1(request) {
                    client.send([byte])
                    await live.server.turn()
                }
                client.send(canary)
                #expect(statuses(client.readTextToEnd()) == [200, 200])
            }
        }
    }
}

extension HTTPServer {
    /// Returns after a turn of the loop.
    func turn() async { await Task.yield() }
}
