// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport
import Testing

/// A writer that pays with the credits of a subject it shares with others: every step is a charge
/// that may be refused, or a hold that is committed, released or left to expire, some of them within
/// the run. Whatever is not answered is sent again with its ids. What it does is random.
private struct Payer {
    let subject: String
    let number: Int
    /// By the event's id, micro-credits that were said to be charged.
    var charged: [String: Int] = [:]
    /// Events that were said not to be counted.
    var refused: Set<String> = []
    /// Holds that were found expired when they were to be ended.
    var late = 0
    /// Answers about the balance that were looked at.
    var looks = 0
    private var step = 0
    private var random: SeededGenerator

    init(_ number: Int, seed: UInt64) {
        self.number = number
        subject = "payer-\(number % 3)"
        random = SeededGenerator(seed &+ UInt64(number) &* 1_000_003)
    }

    mutating func run(_ client: BlockingHTTPClient, _ progress: Progress) throws {
        while !progress.isStopped {
            step += 1
            let id = "\(number)/\(step)"
            let cost = Int.random(in: 1...20, using: &random)
            switch random.next() % 8 {
            case 0...2: try charge(id, cost, client)
            case 3...5: try hold(id, cost, seconds: 600, client)
            // Some are ended, or tried to, when they have expired.
            case 6:
                let seconds = Int.random(in: 1...2, using: &random)
                try hold("short-\(id)", cost, seconds: seconds, client)
            default: try look(client)
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
        _ id: String, _ cost: Int, seconds: Int, _ client: BlockingHTTPClient
    ) throws {
        let body =
            #"{"id":"\#(id)","subject":"\#(subject)","credits":\#(cost),"ttl_s":\#(seconds)}"#
        let opened = try client.settle("/v1/holds", body)
        if opened.status == 402 { return }
        guard [200, 201].contains(opened.status) else {
            throw Failure(description: "\(body): \(opened.status) \(opened.text)")
        }
        let path = "/v1/holds/\(id.replacingOccurrences(of: "/", with: "%2F"))"
        let end = random.next() % 6
        guard end > 0 else { return }
        if seconds < 600, end > 3 { usleep(UInt32.random(in: 500_000...2_500_000, using: &random)) }
        guard end > 2 else {
            let released = try client.settle("\(path)/release", "{}")
            _ = try isEnded(released, "released", id, seconds)
            return
        }
        let paid = (cost + 1) / 2
        let event = #"{"id":"e\#(id)","subject":"\#(subject)","credits":\#(paid)}"#
        let answer = try client.settle("\(path)/commit", event)
        if try isEnded(answer, "settled", id, seconds) { charged["e\(id)"] = paid * 1_000_000 }
    }

    /// Whether it was ended by this call, or by the same call before, whose answer was lost; else it has expired.
    private mutating func isEnded(
        _ answer: BlockingHTTPClient.Answer, _ state: String, _ id: String, _ seconds: Int
    ) throws -> Bool {
        let found = answer.status == 409 ? answer.json["state"] as? String : nil
        if answer.status == 200 || found == state { return true }
        guard found == "expired", seconds < 600 else {
            throw Failure(description: "\(id): \(answer.status) \(answer.text)")
        }
        late += 1
        return false
    }

    /// One answer tells what there is, what is held and what was spent: nothing comes or goes between them.
    private mutating func look(_ client: BlockingHTTPClient) throws {
        guard let answer = try? client.get("/v1/credits/\(subject)"), answer.status == 200 else {
            return
        }
        if let problem = Balance(answer).problem(of: subject) {
            throw Failure(description: "\(number), step \(step): \(problem)")
        }
        looks += 1
    }
}

/// What an answer says of a subject that was granted credits once, in micro-credits.
private struct Balance {
    static let granted = 2000 * 1_000_000

    let held: Int
    let available: Int
    let spent: Int
    /// What is left of the grant: it is spent first, as there is nothing else.
    let left: Int

    init(_ answer: BlockingHTTPClient.Answer) {
        held = micros(answer.json["held"])
        available = micros(answer.json["current_balance"]) - held
        spent = micros(answer.json["total_consumed"])
        let grants = answer.json["grants"] as? [[String: Any]] ?? []
        left = grants.reduce(0) { $0 + micros($1["remaining"]) }
    }

    func problem(of subject: String) -> String? {
        let isWhole = available + held + spent == Self.granted && left + spent == Self.granted
        return isWhole && available >= 0 && held >= 0 && spent >= 0 ? nil : "\(subject): \(self)"
    }
}

private func micros(_ value: Any?) -> Int {
    let text = (value as? String) ?? (value as? NSNumber)?.stringValue ?? ""
    return NSDecimalNumber(string: text).multiplying(byPowerOf10: 6).intValue
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

    fileprivate func openHolds(of subject: String) throws -> [[String: Any]] {
        let answer = try get("/v1/holds?state=open&limit=1000&subject=\(subject)")
        guard let holds = answer.json["holds"] as? [[String: Any]] else {
            throw Failure(description: "\(answer.status) \(answer.text)")
        }
        return holds
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

extension Faults {
    private static let payerCount = 8
    private static func pay(
        on service: TallyProcess, seed: UInt64, _ progress: Progress
    ) async -> [Payer] {
        let payers = Mutex<[Payer]>([])
        let shared = SharedPayers(payers)
        await inParallel(payerCount + 1) { number in
            progress.attempt {
                guard number < payerCount else {
                    defer { progress.stop() }
                    for round in 1...10 {
                        let count = progress.count
                        try progress.wait(for: count + 100)
                        if round.isMultiple(of: 2) {
                            try service.killRedis()
                        } else {
                            service.kill()
                            try service.start()
                        }
                    }
                    let count = progress.count
                    try progress.wait(for: count + 100)
                    return
                }
                var payer = Payer(number, seed: seed)
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
        let account = Balance(try client.get("/v1/credits/\(subject)"))
        let (held, spent) = (account.held, account.spent)
        let balance = account.available + held
        if let problem = account.problem(of: subject) { problems.append(problem) }
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
        let openSum = try client.openHolds(of: subject).reduce(0) { $0 + micros($1["credits"]) }
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
                let grant = #"{"id":"g","credits":\#(Balance.granted / 1_000_000)}"#
                let answer = try service.client().settle("/v1/credits/\(subject)/grants", grant)
                guard answer.status == 201 else { throw Failure(description: answer.text) }
            }
        }
        let progress = Progress()
        let seed = UInt64.random(in: 0...999_999)
        let payers = await Self.pay(on: service, seed: seed, progress)
        #expect(progress.problems == [], "seed \(seed)")
        #expect(payers.count == Self.payerCount)
        #expect(payers.contains { !$0.refused.isEmpty }, "nobody ran out of credits")
        #expect(payers.contains { $0.late > 0 }, "no hold expired, seed \(seed)")
        #expect(payers.reduce(0) { $0 + $1.looks } > 50, "seed \(seed)")
        let problems = try await blocking { () throws -> [String] in
            try service.waitUntilReady()
            // Until then, holds would expire between one answer and the next.
            try waitUntil("the last short hold") {
                subjects.allSatisfy { subject in
                    let open = try? service.client().openHolds(of: subject)
                    return open?.contains { "\($0["id"] ?? "")".hasPrefix("short-") } == false
                }
            }
            let now = try subjects.flatMap { try Self.problems(of: $0, payers, service.client()) }
            service.kill()
            try service.start()
            return try now
                + subjects.flatMap { try Self.problems(of: $0, payers, service.client()) }
        }
        #expect(problems == [], "seed \(seed)")
    }
}
