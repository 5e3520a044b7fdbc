// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Observability

/// `tally record SUBJECT METER=N...`
struct RecordVerb: HasAccess {
    var access = Access()
    var event = Event()

    private struct Answer: Decodable {
        var id: String
        var duplicate: Bool
        var totals: [String: Int]?
    }

    static var options: [Option<RecordVerb>] {
        [
            Option(
                "id", .text, "ID", sources: .flag,
                help: "Id of the event: the same id counts once",
                apply: { $0.event.id = $1 }),
            Option(
                "action", .text, "A", sources: .flag, help: "What the subject did",
                apply: { $0.event.action = $1 }),
            Option(
                "model", .text, "M", sources: .flag, help: "The model that did it",
                apply: { $0.event.model = $1 }),
            Option(
                "time", .text, "T", fallback: "now", sources: .flag,
                help: "When: 2026-01-31T12:00:00Z; without a zone it is UTC",
                apply: { verb, text throws(BadValue) in
                    guard let time = Event.time(text) else {
                        throw BadValue("a time such as 2026-01-31T12:00:00Z")
                    }
                    verb.event.time = time
                }),
            Option(
                "description", .text, "D", sources: .flag, help: "A note for people",
                apply: { $0.event.description = $1 }),
        ] + accessOptions
    }

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console
    ) throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "record"))
            return ExitCode.success
        }
        let verb = try read(&arguments, environment)
        let answer = try verb.send()
        let state = answer.duplicate ? "counted before" : "counted"
        try console.print("\(Escaping.text(answer.id)) \(state)")
        for (meter, total) in (answer.totals ?? [:]).sorted(by: { $0.key < $1.key }) {
            try console.print("\(Escaping.text(meter)) \(total)")
        }
        return ExitCode.success
    }

    private func send() throws(ClientError) -> Answer {
        let client = try ServiceClient(access)
        do throws(ClientError) {
            return try client.send("/v1/events", body: event.json, as: Answer.self)
        } catch {
            guard error.mayBeDone, let id = event.id else { throw error }
            throw .uncertain(error, id: Text.word(id))
        }
    }

    static func read(
        _ arguments: inout Arguments, _ environment: [String: String]
    ) throws(UsageError) -> RecordVerb {
        var verb = RecordVerb()
        arguments.apply(options, to: &verb, environment: environment)
        verb.event.subject = arguments.positional.first
        if arguments.positional.first?.isEmpty ?? true {
            arguments.problems.append("which subject? tally record SUBJECT METER=N...")
        }
        for word in arguments.positional.dropFirst() {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let isSum = parts.count == 2 && Event.decimals.contains(String(parts[0]))
            if isSum, Text.isDecimal(parts[1]) {
                if verb.event.sums.contains(where: { $0.name == parts[0] }) {
                    arguments.problems.append("\(parts[0]) is given twice")
                }
                verb.event.sums.append((String(parts[0]), String(parts[1])))
                continue
            }
            guard parts.count == 2, Text.isMeter(parts[0]), Text.isDigits(parts[1]),
                let amount = Int(parts[1])
            else {
                arguments.problems.append(
                    "\(Text.quoted(word)) must be METER=N, such as tokens=100")
                continue
            }
            if verb.event.meters.contains(where: { $0.name == parts[0] }) {
                arguments.problems.append("\(parts[0]) is given twice")
            }
            verb.event.meters.append((String(parts[0]), amount))
        }
        if arguments.positional.count == 1 {
            arguments.problems.append("how much of what? Add METER=N, such as tokens=100")
        }
        guard arguments.problems.isEmpty else { throw UsageError(problems: arguments.problems) }
        // An id of our own makes it safe to send the event again when the service is busy, or its answer
        // is lost.
        verb.event.id = verb.event.id ?? UUID().uuidString.lowercased()
        return verb
    }
}
