// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Runs what documents show, each in its order, and compares what comes out with what they say.
@Suite(.timeLimit(.minutes(15))) struct ReadmeTests {
    struct Example {
        let command: String
        var output: String
    }

    /// The `console` blocks: a line that begins with `$ ` is a command, the others its output.
    static func examples(of text: String) -> [Example] {
        var examples: [Example] = []
        var isInBlock = false
        for line in text.components(separatedBy: "\n") {
            if line.hasPrefix("```") {
                isInBlock = line == "```console"
            } else if isInBlock, line.hasPrefix("$ ") {
                examples.append(Example(command: String(line.dropFirst(2)), output: ""))
            } else if isInBlock, !examples.isEmpty {
                examples[examples.count - 1].output += line + "\n"
            }
        }
        return examples
    }

    @Test(arguments: ["README.md", "docs/surfaces.md", "docs/access.md"])
    func `A document's commands give the answers that it shows`(name: String) throws {
        // It makes its key itself, as with a reader.
        let service = try TallyProcess(
            arguments: ["--flush-interval", "1"],
            launcher: ["/usr/bin/env", "--unset=TALLY_ADMIN_KEY"])
        try service.start()
        try Self.layOutCheckout(in: service.folder)
        var examples = Self.examples(of: try Self.text(name))
        #expect(examples.count >= 10)
        if name != "README.md" {
            // Who reads another document has made the README's start.
            let start = try #require(Self.examples(of: try Self.text("README.md")).first)
            examples.insert(start, at: 0)
        }
        for example in examples {
            var command = example.command.replacing(
                "localhost:8080", with: "127.0.0.1:\(service.port)")
            if command.hasPrefix(Self.minute) {
                try Self.waitForFlush(service)
                command.removeFirst(Self.minute.count)
            }
            let output = try Self.shell(command, service)
            let came = Self.masked(output)
            #expect(came == Self.masked(example.output), "\(example.command)")
        }
        service.terminate()
    }

    /// A reader stands in the checkout, where the service's data are, too, and has built it for release.
    private static func layOutCheckout(in folder: String) throws {
        let binaries = URL(filePath: TallyProcess.binary).deletingLastPathComponent().path
        let files = FileManager.default
        try files.createDirectory(atPath: "\(folder)/.build", withIntermediateDirectories: true)
        try files.createSymbolicLink(
            atPath: "\(folder)/.build/release", withDestinationPath: binaries)
        try files.createSymbolicLink(
            atPath: "\(folder)/scripts",
            withDestinationPath: "\(TallyProcess.package)/scripts")
    }

    private static func text(_ name: String) throws -> String {
        try String(contentsOfFile: "\(TallyProcess.package)/\(name)", encoding: .utf8)
    }

    /// Text without what is different each time.
    private static func masked(_ text: String) -> String {
        text.replacing("\r\n", with: "\n")
            .replacing(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/, with: "TIME")
            .trimmingCharacters(in: .newlines)
    }

    /// What a reader does until all was flushed.
    private static let minute = "sleep 60; "

    /// Waits until a flush that began after this call has written all that was due.
    private static func waitForFlush(_ service: TallyProcess) throws {
        let name = "tally_flush_last_success_timestamp_seconds "
        func last() -> Int {
            let text = try? service.client().get("/metrics").text
            let line = text?.split(separator: "\n").first { $0.hasPrefix(name) }
            return line.flatMap { Int($0.dropFirst(name.count)) } ?? 0
        }
        // One may have been under way.
        for _ in 0..<2 {
            let before = last()
            var patience = 4
            while last() == before {
                patience -= 1
                do {
                    try waitUntil("a flush") { last() != before }
                } catch  where patience > 0 {
                    continue
                }
            }
        }
    }

    /// Runs a command as a reader would type it, after those before it. Nothing is set that the documents do
    /// not set but the address: the service of a test cannot have the port of all.
    static func shell(_ command: String, _ service: TallyProcess) throws -> String {
        let session = "\(service.folder)/.session"
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = [
            "-c",
            """
            [[ ! -e \(session) ]] || source \(session)
            \(command)
            export -p > \(session)
            """,
        ]
        var environment = ProcessInfo.processInfo.environment
        for name in environment.keys where name == "KEY" || name.hasPrefix("TALLY_") {
            environment[name] = nil
        }
        environment["TALLY_URL"] = "http://127.0.0.1:\(service.port)"
        process.environment = environment
        process.currentDirectoryURL = URL(filePath: service.folder)
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}
