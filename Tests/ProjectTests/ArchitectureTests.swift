// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Holds the code to the table of docs/architecture.md and to the sizes of CONTRIBUTING.md.
@Suite struct ArchitectureTests {
    /// What each target may import of this package; the compiler does not stop transitive imports.
    static let allowed: [String: Set<String>] = [
        "Observability": [],
        "EventLoop": ["CLibevent"],
        "Redis": ["EventLoop", "CHiredis", "Observability"],
        "HTTPServer": ["EventLoop", "CLlhttp", "Observability"],
        "JSON": ["CSimdjson"],
        "CSV": ["CCsv"],
        "Cryptography": ["COpenSSL"],
        "Transfer": ["CCurl"],
        "Metering": ["Redis", "EventLoop", "JSON", "CMsgpack", "Cryptography", "Observability"],
        "Identity": ["Metering", "Redis", "EventLoop", "JSON", "Cryptography", "Observability"],
        "MeteringAPI": [
            "Identity", "Metering", "HTTPServer", "JSON", "CSV", "Cryptography", "Transfer",
            "Observability", "CAssets",
        ],
        "Pages": ["HTTPServer", "Cryptography", "CZlib", "CAssets"],
        "TallyCommand": ["Redis", "Transfer", "CSV", "JSON", "Observability"],
        "tally": [
            "TallyCommand", "Pages", "MeteringAPI", "Identity", "Metering", "HTTPServer", "JSON",
            "Redis", "Transfer", "EventLoop", "Observability",
        ],
    ]

    static func files(_ folder: String, _ ending: String) -> [String] {
        let root = "\(TallyProcess.package)/\(folder)"
        let paths = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        return paths.filter { $0.hasSuffix(ending) }.map { "\(root)/\($0)" }.sorted()
    }

    static func lines(_ path: String) throws -> [Substring] {
        try String(contentsOfFile: path, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false)
    }

    @Test(arguments: allowed.keys.sorted())
    func `A target imports only what stands below it`(target: String) throws {
        let own = Set(Self.allowed.keys).union(Self.allowed.values.joined())
        let files = Self.files("Sources/\(target)", ".swift")
        #expect(!files.isEmpty)
        for file in files {
            for line in try Self.lines(file) {
                let words = line.split(separator: " ")
                guard words.count >= 2, words.contains("import"), words.count <= 3,
                    let module = words.last.map(String.init), own.contains(module)
                else { continue }
                #expect(Self.allowed[target]?.contains(module) == true, "\(file) imports \(module)")
            }
        }
    }

    @Test func `Swift files have fewer than 400 lines, scripts fewer than 100`() throws {
        for file in Self.files("Sources", ".swift") {
            #expect(try Self.lines(file).count <= 400, "\(file)")
        }
        let scripts = Self.files("lua", ".lua")
        #expect(scripts.count >= 3)
        for file in scripts { #expect(try Self.lines(file).count <= 101, "\(file)") }
        #expect(try Self.lines("\(TallyProcess.package)/README.md").count <= 201)
    }

    /// `Sources/Metering/Query/Back.swift` says why.
    @Test func `Routes await engines of other loops by way of back only`() throws {
        var count = 0
        for file in Self.files("Sources/MeteringAPI", ".swift") {
            let text = try String(contentsOfFile: file, encoding: .utf8)
            for match in text.matches(of: /await\s+([^\n;{}]*?\s*)queries\s*\.\s*\w+\(/) {
                count += 1
                let before = match.1.filter { !$0.isWhitespace }
                #expect(before.hasPrefix("back("), "\(file): \(match.0)")
            }
        }
        #expect(count > 60)
    }

    @Test func `lua/README.md has a row for every script and every include`() throws {
        let rows = try Self.lines("\(TallyProcess.package)/lua/README.md").filter {
            $0.hasPrefix("| `")
        }
        let named = rows.flatMap { row in
            row.split(separator: "|")[0].matches(of: /`(\w+)`/).map { String($0.1) }
        }
        let files = Self.files("lua", ".lua").map {
            URL(filePath: $0).deletingPathExtension().lastPathComponent
        }
        #expect(named.sorted() == files.sorted())
    }
}
