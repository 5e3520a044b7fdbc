// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Transfer

@Suite struct DestinationTests {
    @Test(arguments: [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1",
        "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255",
        "240.0.0.1", "255.255.255.255",
    ])
    func `Addresses of IPv4 that are not public are refused`(address: String) {
        #expect(!Destination.isPublic(ipv4: address.split(separator: ".").compactMap { UInt8($0) }))
    }

    @Test(arguments: [
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
        "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
        "223.255.255.255", "128.0.0.1",
    ])
    func `Public addresses of IPv4 are taken`(address: String) {
        #expect(Destination.isPublic(ipv4: address.split(separator: ".").compactMap { UInt8($0) }))
    }

    @Test(arguments: [
        ("::", false), ("::1", false), ("::ffff:10.0.0.1", false), ("::ffff:8.8.8.8", false),
        ("64:ff9b::808:808", false), ("fe80::1", false), ("fc00::1", false), ("fdff::1", false),
        ("ff02::1", false), ("2001:db8::1", false), ("2001::1", false), ("2002:0a00:1::", false),
        ("3fff::1", false), ("2606:4700::1111", true), ("2a00:1450::5", true),
        ("2001:4860::8", true),
    ])
    func `Of IPv6 only public addresses are taken`(address: String, isPublic: Bool) throws {
        var bytes = [UInt8](repeating: 0, count: 16)
        #expect(inet_pton(AF_INET6, address, &bytes) == 1)
        #expect(Destination.isPublic(ipv6: bytes) == isPublic)
    }

    @Test(arguments: [
        ("http://127.0.0.1:8080/v1/events?backfill=true", true), ("http://127.255.0.9", true),
        ("http://127.1", true), ("https://localhost:8443", true), ("http://LOCALHOST.", true),
        ("http://a.localhost", true), ("http://[::1]:8080", true), ("http://0.0.0.0:8080", true),
        ("http://[0:0:0:0:0:0:0:1]", true), ("http://[::]", true),
        ("http://[::ffff:127.0.0.1]", true),
        ("http://128.0.0.1", false), ("http://10.0.0.1", false), ("http://localhost.com", false),
        ("http://127.0.0.1.nip.io", false), ("http://[::2]", false), ("http://[fe80::1]", false),
        ("http://[::ffff:10.0.0.1]", false), ("http://[100::1]", false),
    ])
    func `This machine is known by its names and addresses`(url: String, isThis: Bool) throws {
        #expect(try Destination(url, isTrusted: true).isThisMachine == isThis)
    }

    @Test(arguments: [
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
        "https://user@example.com/", "https://user:word@example.com/", "https://example.com/#a",
        "https://example.com:22/", "https://example.com:0/", "https://", "example",
        "https://a.localhost/",
        "https://127.0.0.1/", "https://127.1/", "https://0x7f.1/", "https://2130706433/",
        "https://0177.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://localhost/",
        "https://localhost./", "https://169.254.169.254/latest", "https://192.168.1.1:8443/",
        "https://exa mple.com/", "https://0/",
    ])
    func `Webhooks that lead inside, or nowhere, are refused`(url: String) async {
        #expect(await Courier().fault(ofWebhook: url) != nil)
    }

    @Test(arguments: [
        "https://1.1.1.1/a?b=c", "https://1.1.1.1:8443/", "https://[2606:4700::1111]/",
    ])
    func `Webhooks that lead to the public internet are taken`(url: String) async {
        #expect(await Courier().fault(ofWebhook: url) == nil)
    }

    @Test func `With leave they may lead anywhere, but only by HTTP`() async {
        let courier = Courier(allowsPrivate: true)
        #expect(await courier.fault(ofWebhook: "http://127.0.0.1:22/") == nil)
        for url in ["file:///etc/passwd", "smtp://127.0.0.1/", "http://a@b/"] {
            #expect(await courier.fault(ofWebhook: url) != nil, "\(url)")
        }
    }

    @Test func `A private address is refused when it is connected to, too`() async {
        for url in ["https://127.0.0.1:4433/", "https://localhost:4433/", "https://[::1]:4433/"] {
            let outcome = await Courier().post(url, headers: [], body: [])
            guard case .failed(let reason) = outcome else {
                Issue.record("\(url): \(outcome)")
                continue
            }
            #expect(reason.hasPrefix("target_forbidden"), "\(url): \(reason)")
        }
    }
}

@Suite struct MailMessageTests {
    private func lines(_ subject: String, _ text: String) -> [String] {
        let message = MailMessage(
            from: "tally@example.com", to: "a@b.c", subject: subject, text: text, id: "1-2.default",
            seconds: 1_795_255_200)
        return String(decoding: message.bytes, as: UTF8.self).components(separatedBy: "\r\n")
    }

    @Test func `Its lines are short, and it says what it was given`() throws {
        let subject = String(repeating: "Überschrift 漢字 ", count: 20)
        let text = String(repeating: "Zeile eins ä\n.\n", count: 40)
        let lines = lines(subject, text)
        #expect(lines.allSatisfy { $0.utf8.count <= 76 && $0.utf8.allSatisfy { $0 < 0x7f } })
        #expect(lines.contains("Date: Sat, 21 Nov 2026 10:00:00 +0000"))
        #expect(lines.contains("Message-ID: <1-2.default@example.com>"))
        let end = try #require(lines.firstIndex(of: ""))
        let body = Data(base64Encoded: lines[end...].joined())
        #expect(body.map { String(decoding: $0, as: UTF8.self) } == text)
        let start = try #require(lines.firstIndex { $0.hasPrefix("Subject: ") })
        let words =
            [String(lines[start].dropFirst("Subject:".count))]
            + lines[(start + 1)...].prefix { $0.hasPrefix(" ") }
        let decoded = words.map { word in
            let inner = word.dropFirst(" =?utf-8?B?".count).dropLast(2)
            return Data(base64Encoded: String(inner)).map { String(decoding: $0, as: UTF8.self) }
                ?? "?"
        }
        #expect(decoded.joined() == subject)
    }

    @Test func `No text of it becomes a header`() {
        let lines = lines("a\r\nBcc: x@y.z", "\r\n.\r\nBcc: x@y.z")
        #expect(!lines.contains { $0.lowercased().hasPrefix("bcc") })
        #expect(!lines.contains("."))
        #expect(lines.filter { $0.hasPrefix("Subject:") }.count == 1)
    }
}
