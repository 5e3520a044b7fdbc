// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// An event of a trace.
struct TraceEvent: Sendable {
    let id: String
    let subject: String
    let input: Int
    let output: Int

    var json: String {
        #"{"id":"\#(id)","subject":"\#(subject)","model":"m-\#(output % 3)","meters":{"#
            + #""input_tokens":\#(input),"output_tokens":\#(output),"tokens":\#(input + output)}}"#
    }
}

/// A list of events and what they add up to.
enum Trace {
    static let eventCount = 19_366
    static let subjectCount = 500

    /// Events of many subjects, a few of which have most of them. The amounts are those of a
    /// recorded trace where one lies beside the package.
    static func events() -> [TraceEvent] {
        var generator = SeededGenerator(20_231_116)
        let recorded = recordedAmounts()
        return (0..<eventCount).map { index in
            let skew = Double.random(in: 0..<1, using: &generator)
            let subject = Int(skew * skew * Double(subjectCount))
            let input = Int.random(in: 1...4_000, using: &generator)
            let output = Int.random(in: 1...800, using: &generator)
            let amounts = index < recorded.count ? recorded[index] : (input, output)
            // Long ids are remembered by their digest, short ones as they are.
            let id = index.isMultiple(of: 2) ? "e\(index)" : "an-event-with-a-long-id-\(index)"
            return TraceEvent(
                id: id, subject: "subject-\(subject)", input: amounts.0, output: amounts.1)
        }
    }

    private static func recordedAmounts() -> [(Int, Int)] {
        let path = "\(TallyProcess.package)/../shared/data/azure_llm_conv_2023.csv"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
        return text.split(whereSeparator: \.isNewline).dropFirst().prefix(eventCount).compactMap {
            let fields = $0.split(separator: ",")
            guard fields.count == 3, let input = Int(fields[1]), let output = Int(fields[2]) else {
                return nil
            }
            return (input, output)
        }
    }

    /// What each subject used.
    static func usage(of events: [TraceEvent]) -> [String: Usage] {
        var usage: [String: Usage] = [:]
        for event in events {
            usage[event.subject, default: Usage()].events += 1
            let amounts = [
                "input_tokens": event.input, "output_tokens": event.output,
                "tokens": event.input + event.output,
            ]
            usage[event.subject, default: Usage()].totals.merge(amounts, uniquingKeysWith: +)
        }
        return usage
    }

    /// Compares what the service has counted with the events; each difference, in words.
    static func differences(_ events: [TraceEvent], _ service: TallyProcess) throws -> [String] {
        let client = service.client()
        let usage = usage(of: events)
        var problems: [String] = []
        for (subject, expected) in usage {
            let counted = try client.usage(of: subject)
            if counted != expected { problems.append("\(subject): \(counted), not \(expected)") }
        }
        let board = try client.get("/v1/leaderboards/tokens?window=lifetime&limit=1000")
        let entries = board.json["entries"] as? [[String: Any]] ?? []
        let leaders = entries.map {
            "\($0["rank"] ?? "") \($0["subject"] ?? "") \($0["value"] ?? "")"
        }
        let expected = usage.map { (subject: $0, tokens: $1.totals["tokens"] ?? 0) }
            .sorted { ($1.tokens, $0.subject) < ($0.tokens, $1.subject) }
            .enumerated().map { "\($0 + 1) \($1.subject) \($1.tokens)" }
        if leaders != expected {
            let place = zip(leaders, expected).first { $0 != $1 }
            problems.append("leaderboard: \(leaders.count) entries, \(String(describing: place))")
        }
        return problems
    }
}
