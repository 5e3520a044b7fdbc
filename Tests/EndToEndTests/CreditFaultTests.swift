// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport
import Testing

/// A writer that pays with the credits of a subject it shares with others: every step is a charge
/// that may be refused, or a hold that is committed, released or left to expire. Whatever is not
/// answered is sent again with its ids.
private struct Payer {
    let subject: String
    let number: Int
    /// By the event's id, micro-credits that were said to be charged.
    var charged: [String: Int] = [:]
    /// Events that were said not to be counted.
    var refused: Set<String> = []
    var step = 0

    init(_ number: Int) {
        self.number = number
        subject = "payer-\(number % 3)"
    }

    mutating func run(_ client: BlockingHTTPClient, _ progress: Progress) throws {
        while !progress.isStopped {
            step += 1
            let id = "\(number)/\(step)"
            let cost = 1 + (step * 7 + number * 3) % 20
            switch (step + number) % 4 {
            case 0, 1: try charge(id, cost, client)
            default: try hold(id, cost, client, isCommit: step % 3 > 0)
            }
            progress.advance()
        }
    }

    private mutating func charge(_ id: String, _ cost: Int, _ client: BlockingHTTPClient) throws {
        let body =
            #"{"id":"\#(id)","subject":"\#(subject)","credits":\#(cost),"enforce":true}"#
        let answer = try client.settle("/v1/events", body)
        switch answer.status {
        case 200: charged[id] = cost * 1_000_000
        case 402: refused.insert(id)
        default: throw Failure(description: "\(body): \(answer.status) \(answer.text)")
        }
    }

    private mutating func hold(
        _ id: String, _ cost: Int, _ client: BlockingHTTPClient, isCommit: Bool
    ) throws {
        let body = #"{"id":"\#(id)","subject":"\#(subject)","credits":\#(cost),"ttl_s":600}"#
        let opened = try client.settle("/v1/holds", body)
        if opened.status == 402 { return }
        guard [200, 201].contains(opened.status) else {
            throw Failure(description: "\(body): \(opened.status) \(opened.text)")
        }
        let path = "/v1/holds/\(id.replacingOccurrences(of: "/", with: "%2F"))"
        guard step % 5 > 0 else { return }
        guard isCommit else {
            let released = try client.settle("\(path)/release", "{}")
            try Self.expectEnded(released, "released", id)
            return
        }
        let paid = (cost + 1) / 2
        let event = #"{"id":"e\#(id)","subject":"\#(subject)","credits":\#(paid)}"#
        let answer = try client.settle("\(path)/commit", event)
        try Self.expectEnded(answer, "settled", id)
        charged["e\(id)"] = paid * 1_000_000
    }

    /// Ended by this call, or by the same call before, whose answer was lost.
    private static func expectEnded(
        _ answer: BlockingHTTPClient.Answer, _ state: String, _ id: String
    ) throws {
        let isLater = answer.status == 409 && answer.json["state"] as? String == state
        guard answer.status == 200 || isLater else {
            throw Failure(description: "\(id): \(answer.status) \(answer.text)")
        }
    }
}

extension BlockingHTTPClient {
    /// Sends a request until it is answered by other than 503.
    fileprivate func settle(_ path: String, _ body: String) throws -> Answer {
        for _ in 0..<10_000 {
            if let answer = try? post(path, body), answer.status != 503 { return answer }
            usleep(5_000)
        }
        throw Failure(description: "\(path) is never answered")
    }

    /// All lines of a ledger, oldest first.
    fileprivate func ledger(of subject: String) throws -> [[String: Any]] {
        var lines: [[String: Any]] = []
        var query = "?limit=200"
        while true {
            let answer = try get("/v1/credits/\(subject)/ledger\(query)")
            guard answer.status == 200, let page = answer.json["entries"] as? [[String: Any]] else {
                throw Failure(description: "\(answer.status) \(answer.text)")
            }
            lines += page
            guard let older = answer.json["older"] as? String else { return lines.reversed() }
            query = "?limit=200&before=\(older)"
        }
    }
}

extension EndToEnd {
    private static let payerCount = 8
    private static let granted = 2000 * 1_000_000

    private static func micros(_ value: Any?) -> Int {
        let text = (value as? String) ?? (value as? NSNumber)?.stringValue ?? ""
        return NSDecimalNumber(string: text).multiplying(byPowerOf10: 6).intValue
    }

    private static func pay(on service: TallyProcess, _ progress: Progress) async -> [Payer] {
        let payers = Mutex<[Payer]>([])
        let shared = SharedPayers(payers)
        await inParallel(payerCount + 1) { number in
            progress.attempt {
                guard number < payerCount else {
                    defer { progress.stop() }
                    for round in 1...10 {
                        let count = progress.count
                        try progress.wait(for: count + 150)
                        if round.isMultiple(of: 2) {
                            try service.killRedis()
                        } else {
                            service.kill()
                            try service.start()
                        }
                    }
                    let count = progress.count
                    try progress.wait(for: count + 150)
                    return
                }
                var payer = Payer(number)
                defer { shared.all.withLock { $0.append(payer) } }
                try payer.run(service.client(), progress)
            }
        }
        return shared.all.withLock { $0 }
    }

    private final class SharedPayers: Sendable {
        let all: Mutex<[Payer]>
        init(_ all: consuming Mutex<[Payer]>) { self.all = all }
    }

    /// What is wrong with a subject's credits after all is over.
    private static func problems(
        of subject: String, _ payers: [Payer], _ client: BlockingHTTPClient
    ) throws -> [String] {
        var problems: [String] = []
        let account = try client.get("/v1/credits/\(subject)").json
        let balance = micros(account["current_balance"])
        let held = micros(account["held"])
        let spent = micros(account["total_consumed"])
        if balance + spent != granted { problems.append("\(subject): \(balance) + \(spent)") }
        if balance - held < 0 { problems.append("\(subject): \(balance) - \(held)") }
        let own = payers.filter { $0.subject == subject }
        let charged = own.reduce(into: [:]) { $0.merge($1.charged) { $1 } }
        if charged.values.reduce(0, +) != spent { problems.append("\(subject): spent \(spent)") }
        var sum = 0
        var sumHeld = 0
        var seen: [String: Int] = [:]
        for line in try client.ledger(of: subject) {
            sum += micros(line["amount"])
            sumHeld += micros(line["held"])
            if micros(line["balance"]) != sum { problems.append("\(subject): \(line)") }
            guard line["type"] as? String == "charge", let id = line["reference"] as? String else {
                continue
            }
            if seen.updateValue(-micros(line["amount"]), forKey: id) != nil {
                problems.append("\(id) twice")
            }
        }
        if sum != balance || sumHeld != held { problems.append("\(subject): \(sum), \(sumHeld)") }
        if seen != charged { problems.append("\(subject): \(seen.count) of \(charged.count)") }
        for id in own.flatMap(\.refused) where seen[id] != nil { problems.append("\(id) refused") }
        let usage = try client.usage(of: subject)
        if usage.totals["credits_micro"] ?? 0 != spent { problems.append("\(subject): \(usage)") }
        let open = try client.get("/v1/holds?state=open&limit=1000&subject=\(subject)").json
        let holds = open["holds"] as? [[String: Any]] ?? []
        let openSum = holds.reduce(0) { $0 + micros($1["credits"]) }
        if openSum != held { problems.append("\(subject): \(openSum) in open holds, not \(held)") }
        return problems
    }

    @Test func `Credits are charged once while the service and its Redis are killed`() async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        let subjects = ["payer-0", "payer-1", "payer-2"]
        try await blocking {
            try service.start()
            for subject in subjects {
                let grant = #"{"id":"g","credits":\#(Self.granted / 1_000_000)}"#
                let answer = try service.client().settle("/v1/credits/\(subject)/grants", grant)
                guard answer.status == 201 else { throw Failure(description: answer.text) }
            }
        }
        let progress = Progress()
        let payers = await Self.pay(on: service, progress)
        #expect(progress.problems == [])
        #expect(payers.count == Self.payerCount)
        #expect(payers.contains { !$0.refused.isEmpty }, "nobody ran out of credits")
        let problems = try await blocking { () throws -> [String] in
            try service.waitUntilReady()
            let now = try subjects.flatMap { try Self.problems(of: $0, payers, service.client()) }
            service.kill()
            try service.start()
            return try now
                + subjects.flatMap { try Self.problems(of: $0, payers, service.client()) }
        }
        #expect(problems == [])
    }
}
