// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing
import Transfer

/// An API that may tell anybody, with a data folder.
final class AlertBench {
    let harness: Harness
    let courier: Courier
    let redis: RedisServer
    private(set) var secrets: [String: String] = [:]

    init(
        _ redis: RedisServer, on loop: EventLoop, mail: Courier.MailServer? = nil,
        settings: WorkspaceSettings = WorkspaceSettings()
    ) async {
        self.redis = redis
        courier = Courier(allowsPrivate: true, mailServer: mail)
        harness = await Harness(
            redis, on: loop, data: redis.folder, settings: settings, courier: courier)
    }

    /// Puts alerts in force; remembers their secrets.
    @discardableResult
    func put(_ alerts: String, headers: [String: String] = [:]) async -> Answer {
        let answer = await harness.send(
            .authorized(
                .put, "/v1/alerts",
                headers: ["Content-Type": "application/json"].merging(headers) { $1 },
                body: Array("{\"alerts\":[\(alerts)]}".utf8)))
        for alert in answer.json["alerts"] as? [[String: Any]] ?? [] {
            if let name = alert["name"] as? String, let secret = alert["secret"] as? String {
                secrets[name] = secret
            }
        }
        return answer
    }

    /// Tells budgets, and delivers all that is due; returns when that is over.
    func deliver() async throws {
        let carry = carry
        for task in try await harness.queries.keepAlerts(carry) { await task.value }
    }

    var carry: AlertCarrier {
        { [courier] message, workspace in
            let outcome =
                switch message {
                case .webhook(let url, let headers, let body):
                    await courier.post(
                        url, headers: headers, body: body, for: workspace.text)
                case .email(let to, let subject, let text, let id):
                    await courier.mail(
                        to: to, subject: subject, text: text, id: id, for: workspace.text)
                }
            switch outcome {
            case .delivered: return .delivered
            case .failed(let fault): return .failed(fault)
            case .refused(let fault): return .refused(fault)
            case .unsent(let fault): return .unsent(fault)
            }
        }
    }

    /// Counts uploaded files, `percent` of the default limit.
    func upload(_ count: Int, by subject: String = "u1") async {
        let answer = await harness.post(
            "{\"subject\":\"\(subject)\",\"meters\":{\"files_uploaded\":\(count)}}")
        #expect(answer.status == 200, "\(answer.text)")
    }

    func deliveries(_ status: String) async -> [[String: Any]] {
        let answer = await harness.get("/v1/alerts/deliveries", query: "status=\(status)")
        #expect(answer.status == 200, "\(answer.text)")
        return answer.json["deliveries"] as? [[String: Any]] ?? []
    }
}

/// Runs a test's body with a bench and a receiver.
func withAlerts(
    statuses: [Int] = [], settings: WorkspaceSettings = WorkspaceSettings(),
    _ body: @Sendable (isolated LoopHost, AlertBench, Receiver) async throws -> Void
) async throws {
    try await withRedis { redis in
        let receiver = try await Receiver(statuses: statuses)
        try await onLoop { host in
            let bench = await AlertBench(redis, on: host.loop, settings: settings)
            do {
                try await body(host, bench, receiver)
                await bench.harness.queries.stop()
            } catch {
                await bench.harness.queries.stop()
                throw error
            }
        }
        await receiver.stop()
    }
}

/// An alert as JSON.
func alert(
    _ name: String, _ on: String, _ percents: String, _ to: String, subject: String? = nil
) -> String {
    let about = subject.map { "\"subject\":\"\($0)\"," } ?? ""
    return "{\"name\":\"\(name)\",\"on\":{\(on)},\"percent\":[\(percents)],\(about)"
        + "\"to\":{\"webhook\":\"\(to)\"}}"
}

let files = #""limit":"files_per_day""#
let balance = #""balance":true"#
