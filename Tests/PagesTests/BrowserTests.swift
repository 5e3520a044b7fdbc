// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// The pages in Debian's Chromium, driven by `pages.py`, before a service that `scripts/fill` has filled.
@Suite(.serialized, .timeLimit(.minutes(15))) struct BrowserTests {
    private static let tests = "\(TallyProcess.package)/Tests/PagesTests"
    private static let python = "\(TallyProcess.package)/.build/pages/bin/python"

    @Test func `Pages show what is there, to everybody, and do what they are told`() async throws {
        try #require(
            FileManager.default.isExecutableFile(atPath: Self.python),
            "scripts/setup test makes .build/pages")
        let lines = try await blocking {
            let service = try TallyProcess(
                arguments: [
                    "--threads", "2", "--durability", "everysec", "--ranked-meters",
                    "tokens,messages,cost_micro,credits_micro", "--allow-private-webhooks",
                ])
            try service.start()
            let filled = try run(
                "/bin/bash",
                [
                    "\(TallyProcess.package)/scripts/fill", TallyProcess.binary,
                    "http://127.0.0.1:\(service.port)",
                ])
            guard filled.status == 0 else { return ["not ok filling: \(filled.output)"] }
            let looked = try run(
                Self.python,
                [
                    "\(Self.tests)/pages.py", "http://127.0.0.1:\(service.port)",
                    "\(TallyProcess.package)/.build/screenshots",
                ])
            return looked.output.split(separator: "\n").map(String.init)
        }
        for line in lines where line.hasPrefix("not ok ") {
            Issue.record("\(line.dropFirst("not ok ".count))")
        }
        // A script that ends half-way has not said so.
        #expect(lines.last?.hasPrefix("done: 0 of ") == true, "\(lines.suffix(5))")
        #expect(lines.count { $0.hasPrefix("ok ") } >= 50)
    }
}

/// Runs a program to its end, with what it prints to both of its outputs.
private func run(_ path: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging([
        "TALLY_ADMIN_KEY": TallyProcess.key, "PYTHONDONTWRITEBYTECODE": "1",
    ]) { $1 }
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
}
