// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct TraceTests {
    /// Real traffic beside the checkout; without it the test makes its own of the same shape.
    static let trace = "\(TallyProcess.package)/../shared/data/azure_llm_conv_2023.csv"

    @Test func `An imported trace comes out exactly, also when it is imported twice`() throws {
        let service = try TallyProcess(arguments: [
            "--ranked-meters", "tokens,input_tokens,output_tokens",
        ])
        try service.start()
        let (path, expected) = try Self.input(service.folder)
        for isFirst in [true, false] {
            let run = try TallyProcess.run(
                [
                    "import", path, "--format", "csv", "--columns",
                    "time=TIMESTAMP,input_tokens=ContextTokens,output_tokens=GeneratedTokens",
                    "--subject-spread", "500:42", "--action", "ai_chat_message",
                    "--url", "http://127.0.0.1:\(service.port)",
                ], environment: ["TALLY_ADMIN_KEY": TallyProcess.key])
            #expect(run.status == 0, "\(run.errors)")
            let summary = run.output + run.errors
            #expect(summary.contains("read \(expected.count)"))
            #expect(
                summary.contains(
                    isFirst ? "counted \(expected.count)" : "duplicates \(expected.count)"))
            let client = service.client()
            for (meter, sum) in [
                ("input_tokens", expected.input), ("output_tokens", expected.output),
                ("tokens", expected.input + expected.output),
            ] {
                let answer = try client.requestUntilReady(
                    "GET", "/v1/leaderboards/\(meter)?window=lifetime&limit=1000")
                let entries = answer.json["entries"] as? [[String: Any]] ?? []
                #expect(entries.compactMap { $0["value"] as? Int }.reduce(0, +) == sum)
            }
        }
        service.terminate()
    }

    static func input(_ folder: String) throws -> (String, (count: Int, input: Int, output: Int)) {
        if FileManager.default.fileExists(atPath: trace) {
            // As published with the trace.
            return (trace, (19_366, 22_361_870, 4_088_665))
        }
        var text = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        var sums = (count: 5_000, input: 0, output: 0)
        for index in 0..<sums.count {
            let (input, output) = (index * 7919 % 4001 + 1, index * 104_729 % 997 + 1)
            sums.input += input
            sums.output += output
            let second = String(1000 + index % 60).suffix(2)
            text += "2023-11-16 18:15:\(second).6805900,\(input),\(output)\n"
        }
        let path = "\(folder)/trace.csv"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return (path, sums)
    }
}
