// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Runs what documents show, each in its order, and compares what comes out with what they say.
@Suite(.timeLimit(.minutes(2))) struct ReadmeTests {
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

    @Test(arguments: ["README.md", "docs/surfaces.md"])
    func `A document's commands give the answers that it shows`(name: String) throws {
        let service = try TallyProcess()
        try service.start()
        let text = try String(
            contentsOfFile: "\(TallyProcess.package)/\(name)", encoding: .utf8)
        let examples = Self.examples(of: text)
        #expect(examples.count >= 10)
        for example in examples {
            let command = example.command.replacing(
                "localhost:8080", with: "127.0.0.1:\(service.port)")
            let output = try Self.shell(command, service)
            let time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/
            let said = example.output.trimmingCharacters(in: .newlines)
            let came = output.replacing(time, with: "TIME").trimmingCharacters(in: .newlines)
            #expect(came == said, "\(example.command)")
        }
        service.terminate()
    }

    /// Runs a command as a reader would type it, with the built `tally` on the path.
    static func shell(_ command: String, _ service: TallyProcess) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", command]
        var environment = ProcessInfo.processInfo.environment
        environment["KEY"] = TallyProcess.key
        environment["TALLY_ADMIN_KEY"] = TallyProcess.key
        environment["TALLY_URL"] = "http://127.0.0.1:\(service.port)"
        let folder = URL(filePath: TallyProcess.binary).deletingLastPathComponent().path
        environment["PATH"] = "\(folder):\(environment["PATH"] ?? "")"
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
