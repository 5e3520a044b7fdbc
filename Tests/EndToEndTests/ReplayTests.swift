// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport
import Testing

extension Faults {
    private static let writerCount = 16

    /// What is killed, one after the other, as the replay goes on.
    private enum Victim { case service, redis }
    private static let victims: [Victim] = [
        .redis, .service, .service, .redis, .redis, .service, .redis, .service,
    ]

    /// Sends every request, each by one of several writers, while processes are killed.
    private static func replay(_ requests: [Request], on service: TallyProcess) async -> [String] {
        let progress = Progress()
        await inParallel(writerCount + 1) { writer in
            progress.attempt {
                guard writer < writerCount else {
                    return try kill(service, requests.count, progress)
                }
                let client = service.client()
                for index in stride(from: writer, to: requests.count, by: writerCount) {
                    let request = requests[index]
                    guard
                        let answer = try client.deliver(request.body, type: request.type, progress)
                    else { return }
                    if let problem = request.problem(answer, isRepetition: false) {
                        throw Failure(description: problem)
                    }
                    progress.advance()
                    guard index.isMultiple(of: 10) else { continue }
                    guard let again = try client.deliver(request.body, type: request.type, progress)
                    else { return }
                    if let problem = request.problem(again, isRepetition: true) {
                        throw Failure(description: problem)
                    }
                }
            }
        }
        return progress.problems
    }

    private static func kill(_ service: TallyProcess, _ count: Int, _ progress: Progress) throws {
        for (index, victim) in victims.enumerated() {
            try progress.wait(for: count * (index + 1) / (victims.count + 2))
            switch victim {
            case .service:
                service.kill()
                try service.start()
            case .redis:
                try service.killRedis()
            }
        }
    }

    /// What is sent at once.
    private struct Request: Sendable {
        let body: String
        let type: String
        /// How many different events it has, and how many with repetitions.
        let counts: (distinct: Int, all: Int)
        let isArray: Bool

        init(_ event: TraceEvent) {
            body = event.json
            type = "application/json"
            counts = (1, 1)
            isArray = false
        }

        init(_ events: [TraceEvent], asLines: Bool) {
            let objects = events.map(\.json)
            body = asLines ? objects.joined(separator: "\n") : "[\(objects.joined(separator: ","))]"
            type = asLines ? "application/x-ndjson" : "application/json"
            counts = (Set(events.map(\.id)).count, events.count)
            isArray = true
        }

        /// What is wrong with an answer, if anything is.
        func problem(_ answer: BlockingHTTPClient.Answer, isRepetition: Bool) -> String? {
            let json = answer.json
            let isRight: Bool
            if isArray {
                let counted = json["counted"] as? Int ?? -1
                let duplicates = json["duplicates"] as? Int ?? -1
                isRight =
                    counted + duplicates == counts.all
                    && (0...(isRepetition ? 0 : counts.distinct)).contains(counted)
            } else {
                isRight =
                    json["status"] as? String == "counted"
                    && (!isRepetition || json["duplicate"] as? Bool == true)
            }
            return isRight ? nil : "\(body)\n\(answer.text)"
        }
    }

    private func expectExact(_ requests: [Request], _ events: [TraceEvent]) async throws {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try await blocking { try service.start() }
        let problems = await Self.replay(requests, on: service)
        #expect(problems == [])
        let differences = try await blocking { () throws -> [String] in
            try service.waitUntilReady()
            let now = try Trace.differences(events, service)
            service.kill()
            try service.start()
            return try now + Trace.differences(events, service)
        }
        #expect(differences == [])
    }

    @Test func `Single events are counted once while the service and its Redis are killed`()
        async throws
    {
        let events = Trace.events()
        try await expectExact(events.map { Request($0) }, events)
    }

    @Test
    func `Arrays with repeated ids are counted once while the service and its Redis are killed`()
        async throws
    {
        let events = Trace.events()
        var generator = SeededGenerator(7)
        var requests: [Request] = []
        var rest = events[...]
        while !rest.isEmpty {
            var array = Array(rest.prefix(Int.random(in: 1...40, using: &generator)))
            rest = rest.dropFirst(array.count)
            // Some of its own again, and some that another writer sends, perhaps at this moment.
            let repeated = array.filter { _ in Int.random(in: 0..<10, using: &generator) == 0 }
            array += repeated + rest.prefix(Int.random(in: 0...3, using: &generator))
            array.shuffle(using: &generator)
            requests.append(Request(array, asLines: requests.count.isMultiple(of: 3)))
        }
        try await expectExact(requests, events)
    }
}
