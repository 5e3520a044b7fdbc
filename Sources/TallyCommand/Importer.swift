// SPDX-License-Identifier: Apache-2.0

internal import Observability

/// Sends events in batches and adds up what became of them.
struct Importer {
    private struct Answer: Decodable {
        struct Result: Decodable {
            struct Problem: Decodable {
                var code: String?
                var detail: String?
            }
            var id: String?
            var status: String
            var error: Problem?
        }
        var results: [Result]
    }

    private static let shownErrors = 10
    /// The code of an event whose id is that of a different one.
    private static let reused = "idempotency_key_reused"
    /// Well below what the service takes in one request.
    private static let batchBytes = 4 << 20

    private let batch: Int
    private let console: Console
    private var client: ServiceClient
    private var lines: [Int] = []
    private var body = ""
    private var read = 0
    private var counted = 0
    private var duplicates = 0
    /// How many ids that were made of a name and a line were there before.
    private var usedNames = 0
    private var skipped = 0
    private var failed = 0
    private var errors: [String] = []
    private let start = ContinuousClock.now
    private var shown = ContinuousClock.now

    init(client: ServiceClient, batch: Int, console: Console) {
        self.client = client
        self.batch = batch
        self.console = console
    }

    /// Imports all events.
    ///
    /// - Returns: The exit code: failure if any event failed.
    mutating func run(_ events: EventReader) throws -> Int32 {
        do throws(ClientError) {
            while let item = try events.next() {
                read += 1
                switch item.result {
                case .bad(let reason): fail(item.line, reason)
                case .event(let json):
                    lines.append(item.line)
                    body += json
                    body += "\n"
                    if lines.count >= batch || body.utf8.count >= Self.batchBytes {
                        try send(events)
                    }
                }
            }
            try send(events)
        } catch {
            try? finish()
            console.complain("The import stopped; repeated, it counts nothing twice.\n")
            throw error
        }
        warn(events)
        try finish()
        return failed == 0 ? ExitCode.success : ExitCode.failure
    }

    private mutating func send(_ events: EventReader) throws(ClientError) {
        guard !lines.isEmpty else { return }
        let answer = try client.send(
            "/v1/events?backfill=true", body: body, contentType: "application/x-ndjson",
            as: Answer.self)
        guard answer.results.count == lines.count else { throw .unexpected(status: 200) }
        for (line, result) in zip(lines, answer.results) {
            switch result.status {
            case "counted": counted += 1
            case "duplicate":
                duplicates += 1
                if result.id == events.id(line) { usedNames += 1 }
            case "skipped": skipped += 1
            default:
                // Another event has the id.
                if result.error?.code == Self.reused, result.id == events.id(line) {
                    usedNames += 1
                }
                fail(line, result.error?.detail ?? result.error?.code ?? result.status)
            }
        }
        lines = []
        body = ""
        // It has answered once, so it is the right address: a restart is worth waiting for.
        client.patience.includesUnreachable = true
        progress()
    }

    private mutating func fail(_ line: Int, _ reason: String) {
        failed += 1
        if errors.count < Self.shownErrors {
            errors.append("line \(line): \(Escaping.text(reason))\n")
        }
    }

    private mutating func progress() {
        guard console.showsProgress, shown.duration(to: .now) > .milliseconds(100) else { return }
        shown = .now
        console.complain("\r\(read) lines, \(rate) events/s\u{1b}[K")
    }

    private var rate: Int {
        Int(Double(counted + duplicates) / max(0.001, start.duration(to: .now) / .seconds(1)))
    }

    /// Says what may not be as it seems.
    private func warn(_ events: EventReader) {
        if let line = events.openRow {
            console.report(
                "the last row, line \(line), has no line break: if the file is still being written, the row "
                    + "was counted as far as it was there, and the rest of it will not be")
        }
        if usedNames > 0 {
            console.report(
                "\(usedNames) line\(usedNames == 1 ? " was" : "s were") counted before under "
                    + "the same name and line (as \(events.id(2))); if this is another file, give it "
                    + "another --source NAME")
        }
    }

    private func finish() throws {
        if console.showsProgress { console.complain("\r\u{1b}[K") }
        for error in errors { console.complain(error) }
        if failed > errors.count {
            console.complain("... and \(failed - errors.count) more\n")
        }
        let skips = skipped > 0 ? ", skipped \(skipped)" : ""
        try console.conclude(
            "read \(read), counted \(counted), duplicates \(duplicates)\(skips), failed \(failed)"
                + " (\(rate) events/s)")
    }
}
