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
        let others: Set = ["AUTH", "SELECT", "PING", "SCRIPT", "EVAL", "EVALSHA", "INFO", "CONFIG"]
        let listed = CommandRights.commands.map { "\($0)" }
        #expect(listed == Set(listed).sorted())
        #expect(Set(listed) == sent.intersection(known).subtracting(others))
    }
}
