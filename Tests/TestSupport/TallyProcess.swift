// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// The built service, run as a process with a data folder of its own.
public final class TallyProcess: Sendable {
    public struct Failure: Error { let reason: String }

    public static let key = "a-key-for-tests-only"

    public let folder: String
    public let port: UInt16
    private let arguments: [String]
    private let environment: [String: String]
    private let launcher: [String]
    private let process: Mutex<pid_t?> = Mutex(nil)

    /// Where the package stands.
    public static let package = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// The binary under test.
    public static var binary: String {
        ProcessInfo.processInfo.environment["TALLY_BINARY"] ?? "\(package)/.build/debug/tally"
    }

    /// Makes a folder and takes a free port; `start` starts the process.
    ///
    /// - Parameter launcher: words before the binary's, of a program that becomes it.
    public init(
        arguments: [String] = [], environment: [String: String] = [:], launcher: [String] = []
    ) throws {
        folder = try makeTemporaryFolder()
        port = try freePort()
        self.arguments = arguments
        self.environment = environment
        self.launcher = launcher
    }

    deinit {
        kill()
        removeFolder(folder)
    }

    public var processID: Int32? { process.withLock { $0 } }
    public var data: String { "\(folder)/data" }
    public var log: String { (try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)) ?? "" }

    public func client() -> BlockingHTTPClient { BlockingHTTPClient(port: port, key: Self.key) }

    /// Starts the service without waiting for it.
    public func launch() throws {
        var environment = ProcessInfo.processInfo.environment
        environment["TALLY_ADMIN_KEY"] = Self.key
        environment.merge(self.environment) { $1 }
        var words = [Self.binary, "serve", "--listen", "127.0.0.1:\(port)", "--data", data]
        // What a machine that is busy with other tests delays is no fault.
        if !arguments.contains("--redis-timeout-ms") { words += ["--redis-timeout-ms", "5000"] }
        let id = try spawn(
            launcher + words + arguments, environment: environment, output: "\(folder)/log")
        process.withLock { $0 = id }
    }

    /// Starts the service and returns when it is ready.
    public func start() throws {
        try launch()
        try waitUntilReady()
    }

    /// Returns when the service says that it is ready; throws after 30 seconds.
    public func waitUntilReady() throws {
        for _ in 0..<3000 {
            if let answer = try? client().get("/readyz"), answer.status == 200 { return }
            usleep(10_000)
        }
        throw Failure(reason: "not ready: \(log)")
    }

    /// Ends it as a crash would.
    public func kill() { _ = end(SIGKILL) }

    /// Asks it to end and waits until it did.
    ///
    /// - Returns: its exit status; nil when it did not end by itself.
    @discardableResult
    public func terminate() -> Int32? { end(SIGTERM) }

    private func end(_ signal: Int32) -> Int32? {
        guard let id = process.withLock({ $0.take() }) else { return nil }
        Glibc.kill(id, signal)
        var status: Int32 = 0
        for _ in 0..<30_000 {
            if waitpid(id, &status, WNOHANG) == id {
                return status & 0x7f == 0 ? (status >> 8) & 0xff : nil
            }
            usleep(1_000)
        }
        Glibc.kill(id, SIGKILL)
        waitpid(id, &status, 0)
        return nil
    }

    /// Runs the binary to its end: another verb, or a start that fails.
    ///
    /// - Parameter launcher: words before the binary's, of a program that becomes it.
    public static func run(
        _ arguments: [String], environment extra: [String: String] = [:], launcher: [String] = []
    ) throws -> (status: Int32, output: String, errors: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = launcher + [binary] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(extra) { $1 }
        let output = Pipe()
        // A file: of two pipes the one that is not read fills, with a crash's trace for one.
        let folder = try makeTemporaryFolder()
        defer { removeFolder(folder) }
        let path = "\(folder)/errors"
        try Data().write(to: URL(filePath: path))
        process.standardOutput = output
        process.standardError = FileHandle(forWritingAtPath: path)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: text, as: UTF8.self),
            (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        )
    }
}

extension TallyProcess {
    /// The process of the service's own Redis; waits until there is one.
    public func redisID() throws -> Int32 {
        for _ in 0..<10_000 {
            if let processID, let id = Self.child(of: processID, named: "redis-server") {
                return id
            }
            usleep(1_000)
        }
        throw Failure(reason: "there is no Redis: \(log)")
    }

    /// Ends the service's Redis as a crash would.
    public func killRedis() throws { Glibc.kill(try redisID(), SIGKILL) }

    /// Sends an inline command to the service's Redis; the first piece of the reply, raw.
    @discardableResult
    public func redis(_ line: String) throws -> String {
        let descriptor = try connectUnix("\(data)/redis.sock")
        defer { close(descriptor) }
        let text = line + "\r\n"
        guard send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL)) > 0 else {
            throw Failure(reason: "send: \(errno)")
        }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { throw Failure(reason: "no reply") }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Whether a process exists and has not ended.
    public static func isRunning(_ id: Int32) -> Bool {
        guard let status = status(id) else { return false }
        return status.state != "Z" && status.state != "X"
    }

    private static func child(of parent: Int32, named name: String) -> Int32? {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.first { id in
            guard let status = status(id) else { return false }
            return status.parent == parent && status.name == name && status.state != "Z"
        }
    }

    private static func status(_ id: Int32) -> (name: String, state: String, parent: Int32)? {
        // "id (name) state parent ...", and the name may hold anything.
        guard let text = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8),
            let start = text.firstIndex(of: "("), let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 2, let parent = Int32(fields[2]) else { return nil }
        return (String(text[start..<end].dropFirst()), String(fields[1]), parent)
    }
}

/// A port of the loopback that nobody listens on now.
public func freePort() throws -> UInt16 {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> UInt16 in
            guard bind(socket, address, length) == 0, getsockname(socket, address, &length) == 0
            else {
                return 0
            }
            return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                UInt16(bigEndian: $0.pointee.sin_port)
            }
        }
    }
    guard port != 0 else { throw TallyProcess.Failure(reason: "no free port") }
    return port
}
