// SPDX-License-Identifier: Apache-2.0
//
// Tests of the built binary with its own Redis, while either is killed, frozen or slowed down.

import Foundation
import Synchronization
import TestSupport
import Testing

/// What clients and operators do. One after the other: each of them keeps the machine busy.
@Suite(.serialized, .timeLimit(.minutes(15))) struct EndToEnd {}

/// What is killed, frozen, cut off or full. One after the other, too, beside the others.
@Suite(.serialized, .timeLimit(.minutes(15))) struct Faults {}

struct Failure: Error, CustomStringConvertible {
    let description: String
}

/// Compiles what is to be preloaded into a program, and gives the library's path.
func compileFixture(_ name: String, into folder: String) throws -> String {
    let source = "\(TallyProcess.package)/Tests/EndToEndTests/Fixtures/\(name).c"
    let library = "\(folder)/\(name).so"
    let compiler = Process()
    compiler.executableURL = URL(filePath: "/usr/bin/env")
    compiler.arguments = ["cc", "-shared", "-fPIC", "-O1", "-o", library, source]
    try compiler.run()
    compiler.waitUntilExit()
    guard compiler.terminationStatus == 0 else {
        throw Failure(description: "cc \(source): \(compiler.terminationStatus)")
    }
    return library
}

/// What the threads of a test share: how far they are, and what went wrong.
final class Progress: Sendable {
    private struct State {
        var count = 0
        var problems: [String] = []
        var isStopped = false
    }
    private let state = Mutex(State())

    var count: Int { state.withLock { $0.count } }
    var problems: [String] { state.withLock { $0.problems } }
    /// Whether the threads are to end: they were told so, or one has failed.
    var isStopped: Bool { state.withLock { $0.isStopped } }

    func advance() { state.withLock { $0.count += 1 } }
    func stop() { state.withLock { $0.isStopped = true } }

    /// Runs a thread's body; when it fails, all are to end.
    func attempt(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            state.withLock {
                $0.problems.append("\(error)")
                $0.isStopped = true
            }
        }
    }

    /// Returns when so many steps are done.
    func wait(for count: Int) throws {
        try waitUntil("step \(count)") { self.count >= count || isStopped }
    }
}

extension BlockingHTTPClient {
    /// Sends events until they are answered with 200 and none of them is left open. Nil when the
    /// threads are to end before that.
    func deliver(
        _ body: String, type: String = "application/json", _ progress: Progress
    ) throws -> Answer? {
        while true {
            if let answer = try? post("/v1/events", body, type: type) {
                let isWhole = answer.status == 200 && answer.json["failed"] as? Int ?? 0 == 0
                if isWhole { return answer }
                let isOpen = ["backend_unavailable", "outcome_unknown"].contains {
                    answer.text.contains($0)
                }
                guard answer.status == 503 || isOpen else {
                    throw Failure(description: "\(answer.status) \(answer.text)")
                }
            }
            if progress.isStopped { return nil }
            // Not to keep the machine busy with refused connections.
            usleep(5_000)
        }
    }

    /// What is counted for a subject.
    func usage(of subject: String) throws -> Usage {
        var answer = try get("/v1/subjects/\(subject)")
        // After a fault, the loop that this connection is on may still be connecting.
        for _ in 0..<500 where answer.status == 503 {
            usleep(10_000)
            answer = try get("/v1/subjects/\(subject)")
        }
        if answer.status == 404 { return Usage() }
        guard answer.status == 200 else {
            throw Failure(description: "\(answer.status) \(answer.text)")
        }
        return Usage(
            events: answer.json["events"] as? Int ?? -1,
            totals: answer.json["totals"] as? [String: Int] ?? [:])
    }
}

extension BlockingHTTPClient.Answer {
    func total(_ meter: String) -> Int? { (json["totals"] as? [String: Int])?[meter] }
}

/// What a subject used.
struct Usage: Equatable, Sendable {
    var events = 0
    var totals: [String: Int] = [:]
}

/// A writer with a subject of its own, which counts one token at a time: after its event number
/// n, and whenever that event is repeated, the total is n.
struct Counting: Sendable {
    let subject: String
    private(set) var sent = 0
    private(set) var acknowledged = 0

    init(_ writer: Int) { subject = "writer-\(writer)" }

    private var body: String {
        #"{"id":"\#(subject)/\#(sent)","subject":"\#(subject)","meters":{"tokens":1}}"#
    }

    /// Counts one event after the other until told to stop; the last one may stay unanswered.
    mutating func run(_ client: BlockingHTTPClient, _ progress: Progress) throws {
        while !progress.isStopped {
            sent += 1
            try settle(client, progress)
            if acknowledged == sent { progress.advance() }
        }
    }

    /// Sends the last event until it is answered.
    mutating func settle(_ client: BlockingHTTPClient, _ progress: Progress) throws {
        guard sent > 0, let answer = try client.deliver(body, progress) else { return }
        guard answer.total("tokens") == sent else {
            throw Failure(description: "\(subject), event \(sent): \(answer.text)")
        }
        acknowledged = sent
    }

    /// Runs several of them, each on a thread, and one more that meanwhile does something else and
    /// then stops them.
    static func run(
        _ count: Int, on service: TallyProcess, _ progress: Progress,
        during other: @escaping @Sendable () throws -> Void
    ) async -> [Counting] {
        let all = Mutex((0..<count).map { Counting($0) })
        let shared = Shared(all)
        await inParallel(count + 1) { index in
            progress.attempt {
                guard index < count else {
                    defer { progress.stop() }
                    return try other()
                }
                var counting = Counting(index)
                defer { shared.all.withLock { $0[index] = counting } }
                try counting.run(service.client(), progress)
            }
        }
        return shared.all.withLock { $0 }
    }

    private final class Shared: Sendable {
        let all: Mutex<[Counting]>
        init(_ all: consuming Mutex<[Counting]>) { self.all = all }
    }

    /// Checks that what was acknowledged is counted, and that sending the open events again makes
    /// the totals exact.
    static func check(_ writers: [Counting], on service: TallyProcess) async throws {
        let problems = try await blocking {
            let client = service.client()
            let progress = Progress()
            var problems: [String] = []
            for var writer in writers {
                let total = try client.usage(of: writer.subject).totals["tokens"] ?? 0
                if !(writer.acknowledged...writer.sent).contains(total) {
                    problems.append("\(writer): \(total)")
                }
                try writer.settle(client, progress)
                let usage = try client.usage(of: writer.subject)
                let expected = Usage(events: writer.sent, totals: ["tokens": writer.sent])
                if writer.sent > 0, usage != expected { problems.append("\(writer): \(usage)") }
            }
            return problems
        }
        #expect(problems == [])
    }
}
