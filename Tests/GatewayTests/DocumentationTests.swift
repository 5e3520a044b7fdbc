// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Holds docs/gateways.md to what is tested.
@Suite struct DocumentationTests {
    /// The fenced blocks of a language, without the comment about the license.
    static func blocks(_ language: String) throws -> [String] {
        let text = try String(
            contentsOfFile: "\(TallyProcess.package)/docs/gateways.md", encoding: .utf8)
        return text.components(separatedBy: "\n```\(language)\n").dropFirst().compactMap {
            $0.components(separatedBy: "\n```\n").first
        }
    }

    @Test(arguments: zip(Gateway.allCases, ["nginx", "caddyfile", "yaml"]))
    func `The documentation shows the configurations that are tested`(
        gateway: Gateway, language: String
    ) throws {
        let tested = try gateway.shown.split(separator: "\n", omittingEmptySubsequences: false)
        let shown = tested.drop { $0.hasPrefix("#") && ($0.contains("SPDX") || $0 == "#") }
            .joined(separator: "\n").trimmingCharacters(in: .newlines)
        #expect(try Self.blocks(language).first == shown)
    }

    @Test(arguments: Gateway.allCases)
    func `Each configuration tells how to allow when Tally cannot be asked`(gateway: Gateway) throws
    {
        let denying = try gateway.shown
        let allowing = Gateway.allowing(denying)
        #expect(allowing != denying)
        #expect(!allowing.contains("# to allow"))
    }
}
