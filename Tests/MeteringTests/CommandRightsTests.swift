// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import Metering

@Suite struct CommandRightsTests {
    @Test func `Every command that is sent is one whose right is looked at`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let reply = try redis.request("COMMAND LIST").uppercased().replacing("\r\n", with: "\n")
        let known = Set(reply.split(separator: "\n").map(String.init))
        #expect(known.count > 200)
        var sent: Set<String> = []
        for folder in ["lua", "Sources"] {
            let root = "\(TallyProcess.package)/\(folder)"
            let files = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String }
            for file in files ?? [] where file.hasSuffix(".lua") || file.hasSuffix(".swift") {
                let text = try String(contentsOfFile: "\(root)/\(file)", encoding: .utf8)
                for match in text.matches(of: /'([A-Z]{3,})'/) { sent.insert(String(match.1)) }
                for match in text.matches(of: /RedisCommand\(\s*"([A-Z]{3,})"/) {
                    sent.insert(String(match.1))
                }
                for match in text.matches(of: /"([ZHSX][A-Z]{3,})"/) {
                    sent.insert(String(match.1))
                }
            }
        }
        // Those that are sent before there is a question of rights, or whose answer may be missing.
        let others: Set = [
            "AUTH", "SELECT", "PING", "SCRIPT", "EVAL", "EVALSHA", "INFO", "CONFIG", "XINFO",
        ]
        let listed = CommandRights.commands.map { "\($0)" }
        #expect(listed == Set(listed).sorted())
        #expect(Set(listed) == sent.intersection(known).subtracting(others))
    }

    /// Redis does not roll back: one command alone is done or not, of more some would be.
    @Test func `A script that writes by more than one command asks for the rights to all of them`()
        throws
    {
        let redis = try RedisServer()
        defer { redis.stop() }
        let reply = try redis.request("COMMAND LIST FILTERBY ACLCAT write").uppercased()
        let writing = Set(reply.replacing("\r\n", with: "\n").split(separator: "\n"))
        #expect(writing.contains("HSET") && !writing.contains("HGET"))
        let root = "\(TallyProcess.package)/lua"
        func source(_ path: String) throws -> String {
            let text = try String(contentsOfFile: "\(root)/\(path).lua", encoding: .utf8)
            return try text.matches(of: /--@include (\w+)/).reduce(into: text) {
                $0 += try source("include/\($1.1)")
            }
        }
        var count = 0
        for file in try FileManager.default.contentsOfDirectory(atPath: root).sorted()
        where file.hasSuffix(".lua") {
            let text = try source(String(file.dropLast(4)))
            var asked: Set<Substring> = []
            for call in text.matches(of: /require_rights\(\S+ \{([^}]*)\}\)/) {
                asked.formUnion(call.1.matches(of: /'([A-Z]+)'/).map(\.1))
            }
            let used = Set(text.matches(of: /'([A-Z]{3,})'/).map(\.1)).intersection(writing)
            let isOne = used.count < 2 && asked.isEmpty || text.contains("flags=no-writes")
            #expect(isOne || asked == used, "\(file)")
            count += used.count > 1 ? 1 : 0
        }
        #expect(count > 30)
    }
}
