// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// Redis, Tally, an application, and a gateway in front of it that asks Tally.
final class Site: Sendable {
    /// A day's files and bytes of one user: as large as what is uploaded, past what gateways let by default.
    static let files = 2
    static let bytes = 3_000_000

    let redis: RedisServer
    let tally: TallyProcess
    private let folder: String
    private let application: ChildProcess
    private let gateway: ChildProcess
    private let ports: Ports

    init(_ kind: Gateway, _ onError: Gateway.OnError = .deny) throws {
        folder = try makeTemporaryFolder()
        // What is limited has to be there again after a crash.
        redis = try RedisServer(.appendOnly(fsync: "always"))
        tally = try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
        try tally.start()
        try Self.setLimits(tally)
        ports = Ports(
            tally: tally.port, application: try freePort(), gateway: try freePort())
        application = try ChildProcess(
            ["python3", "\(Gateway.fixtures)/upstream.py", "\(ports.application)"],
            log: "\(folder)/application.log")
        try application.waitUntilAnswering(port: ports.application, path: "/seen")
        gateway = try kind.start(ports, onError, folder: folder)
        // Its start was waited for with requests that nobody has to be asked about.
        start = try Self.seen(ports)
    }

    deinit {
        gateway.end()
        application.end()
        removeFolder(folder)
    }

    private let start: Int

    private static func setLimits(_ tally: TallyProcess) throws {
        let body = """
            {"limits":[
            {"name":"files_per_day","meter":"files_uploaded","window":"day","user":\(files),"guest":1},
            {"name":"bytes_per_day","meter":"input_bytes","window":"day","user":\(bytes),"guest":1}
            ]}
            """
        let answer = try tally.client().request(
            "PUT", "/v1/limits", Array(body.utf8), "application/json")
        guard answer.status == 200 else {
            throw Failure(description: "limits: \(answer.status) \(answer.text)")
        }
    }

    private static func seen(_ ports: Ports) throws -> Int {
        let answer = try BlockingHTTPClient(port: ports.application, key: nil).get("/seen")
        return Int(answer.text) ?? -1
    }

    /// How many requests reached the application.
    var seen: Int { get throws { try Self.seen(ports) - start } }

    var log: String { gateway.log + tally.log }

    /// What a client gets who sends a file through the gateway, on a connection of its own.
    func upload(
        as user: String, password: String = Gateway.password, _ file: [UInt8] = Array("x".utf8),
        to path: String = "/upload/1", by method: String = "POST", headers: [String: String] = [:]
    ) throws -> BlockingHTTPClient.Answer {
        try BlockingHTTPClient(port: ports.gateway, key: nil).request(
            method, path, file, "application/octet-stream",
            headers.merging(["Authorization": Self.basic(user, password)]) { $1 })
    }

    /// What a client gets who does not tell the length of a file.
    func uploadChunked(as user: String) throws -> BlockingHTTPClient.Answer {
        let lines = [
            "POST /upload/1 HTTP/1.1", "Host: 127.0.0.1", "Authorization: \(Self.basic(user))",
            "Transfer-Encoding: chunked", "X-Original-Content-Length: 1", "", "1", "x", "0", "", "",
        ]
        return try BlockingHTTPClient(port: ports.gateway, key: nil).raw(
            Array(lines.joined(separator: "\r\n").utf8))
    }

    private static func basic(_ user: String, _ password: String = Gateway.password) -> String {
        "Basic \(Data("\(user):\(password)".utf8).base64EncodedString())"
    }

    /// A file that no text encoding leaves as it is.
    static func file(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 / 251) }
    }
}
