// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import Testing

@testable import Transfer

/// How hosts are looked up, and who waits for whom.
@Suite(.timeLimit(.minutes(15))) struct LookupTests {
    private static let local = HostAddress(text: "127.0.0.1", isPublic: false)
    private static let open = HostAddress(text: "192.0.2.1", isPublic: true)

    /// A resolver whose name servers do not answer for some names, until it is let go.
    private final class Resolver: Sendable {
        let asked = Mutex<[String]>([])
        private let gate = NSCondition()
        private let isOpen = Mutex(false)

        func resolve(_ host: String) -> HostLookups.Answer {
            asked.withLock { $0.append(host) }
            if host.hasPrefix("dead") {
                gate.lock()
                while !isOpen.withLock({ $0 }) { gate.wait() }
                gate.unlock()
                return .silent
            }
            return host.hasPrefix("none") ? .missing : .found([LookupTests.open])
        }

        func letGo() {
            gate.lock()
            isOpen.withLock { $0 = true }
            gate.broadcast()
            gate.unlock()
        }
    }

    @Test func `A name server that does not answer keeps nobody else waiting`() async {
        let resolver = Resolver()
        let lookups = HostLookups(patience: .seconds(2)) { resolver.resolve($0) }
        let dead = await withTaskGroup(of: HostLookups.Answer.self) { group in
            for number in 0..<100 {
                group.addTask { await lookups.addresses(of: "dead\(number)", for: "one") }
            }
            var answers: [HostLookups.Answer] = []
            for await answer in group { answers.append(answer) }
            return answers
        }
        #expect(dead.allSatisfy { $0 == .silent || $0 == .unasked })
        // What nobody waits for any more is not begun, though those before it have not come back.
        let asked = resolver.asked.withLock { $0.count }
        #expect(dead.count { $0 == .silent } == asked)
        #expect(asked < 10)
        #expect(await lookups.addresses(of: "good", for: "two") == .found([Self.open]))
        #expect(await lookups.addresses(of: "none", for: "two") == .missing)
        resolver.letGo()
        #expect(await lookups.addresses(of: "good", for: "one") == .found([Self.open]))
        #expect(resolver.asked.withLock { $0.count } == asked + 3)
    }

    @Test func `Who waits for a host behind somebody's many has a turn of its own`() async {
        let resolver = Resolver()
        let lookups = HostLookups(patience: .seconds(30)) { resolver.resolve($0) }
        await withTaskGroup { group in
            for number in 0..<8 {
                group.addTask { _ = await lookups.addresses(of: "dead\(number)", for: "one") }
            }
            while resolver.asked.withLock({ $0.count }) < 4 { await Task.yield() }
            group.addTask { _ = await lookups.addresses(of: "shared", for: "one") }
            #expect(await lookups.addresses(of: "shared", for: "two") == .found([Self.open]))
            #expect(resolver.asked.withLock { $0.count } == 5)
            resolver.letGo()
        }
    }

    @Test func `A webhook whose name server does not answer is taken`() async {
        let resolver = Resolver()
        let courier = Courier(
            allowsPrivate: false, mailServer: nil, agent: "test",
            lookups: HostLookups(patience: .milliseconds(50)) { resolver.resolve($0) })
        #expect(await courier.fault(ofWebhook: "https://dead.example/") == nil)
        resolver.letGo()
    }

    @Test func `A host is looked up once for all who wait`() async {
        let resolver = Resolver()
        let lookups = HostLookups(patience: .seconds(600)) { resolver.resolve($0) }
        await withTaskGroup { group in
            for _ in 0..<50 {
                group.addTask { _ = await lookups.addresses(of: "dead", for: "one") }
            }
            group.addTask {
                while resolver.asked.withLock({ $0.isEmpty }) { await Task.yield() }
                resolver.letGo()
            }
        }
        // Those who came when the first answer was there asked once more.
        #expect(resolver.asked.withLock { $0.count } < 50)
    }

    @Test func `A message goes to the addresses that were looked up, whatever family has it`()
        async throws
    {
        let server = try Server("HTTP/1.1 204 No Content\r\n\r\n")
        let courier = Self.courier([HostAddress(text: "::1", isPublic: false), Self.local])
        let outcome = await courier.post(
            "http://Nowhere.invalid:\(server.port)/", headers: [], body: [])
        withExtendedLifetime(server) { #expect(outcome == .delivered) }
    }

    @Test func `A name without a public address is sent nothing`() async throws {
        let courier = Self.courier([Self.local], allowsPrivate: false)
        #expect(await courier.fault(ofWebhook: "https://inside.example/") != nil)
        let outcome = await courier.post("https://inside.example/", headers: [], body: [])
        guard case .failed(let reason) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(reason.hasPrefix("target_forbidden"))
    }

    /// The second line: curl judges the address that it connects to.
    @Test func `A private address that was called public is refused when it is connected to`()
        async throws
    {
        let courier = Self.courier(
            [HostAddress(text: "127.0.0.1", isPublic: true)], allowsPrivate: false)
        let outcome = await courier.post("https://inside.example:4433/", headers: [], body: [])
        guard case .failed(let reason) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(reason.hasPrefix("target_forbidden"))
    }

    private static func courier(_ addresses: [HostAddress], allowsPrivate: Bool = true) -> Courier {
        Courier(
            allowsPrivate: allowsPrivate, mailServer: nil, agent: "test",
            lookups: HostLookups { _ in .found(addresses) })
    }

    private struct Waiting: Turn, Equatable {
        let sender: String
        let host: String
    }

    @Test func `Senders take turns, and no host has all places`() {
        var turns = Turns<Waiting>(countMax: 6, ofSenderMax: 4, ofHostMax: 3)
        let hanging = Waiting(sender: "a", host: "h")
        for _ in 0..<10 { turns.add(hanging) }
        #expect((0..<5).map { _ in turns.next() } == [hanging, hanging, hanging, nil, nil])
        for host in ["i", "j"] { turns.add(Waiting(sender: "a", host: host)) }
        turns.add(Waiting(sender: "b", host: "h"))
        turns.add(Waiting(sender: "b", host: "k"))
        // Who has none comes before who came earlier; then each has as many as there may be.
        #expect(turns.next() == Waiting(sender: "b", host: "k"))
        #expect(turns.next() == Waiting(sender: "a", host: "i"))
        #expect(turns.next() == nil)
        turns.end(hanging)
        #expect(turns.next() == Waiting(sender: "b", host: "h"))
        #expect(turns.next() == Waiting(sender: "a", host: "j"))
        #expect(turns.next() == nil)
        #expect(turns.remove { $0.host == "h" }.count == 7)
        #expect(turns.isEmpty)
    }
}
