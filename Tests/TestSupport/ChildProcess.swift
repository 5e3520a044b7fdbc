// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// A program that a test needs beside the service; it ends with the test.
public final class ChildProcess: Sendable {
    private let name: String
    private let logPath: String
    private let process: Mutex<pid_t?>

    /// Starts a program; its output goes to a file.
    public init(
        _ arguments: [String], log: String, environment extra: [String: String] = [:]
    ) throws {
        name = arguments[0]
        logPath = log
        let environment = ProcessInfo.processInfo.environment.merging(extra) { $1 }
        process = Mutex(try spawn(arguments, environment: environment, output: log))
    }

    deinit { end() }

    /// What the program has printed.
    public var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

    /// Returns when something answers on the port; throws at once when the program has ended.
    public func waitUntilAnswering(port: UInt16, path: String = "/") throws {
        do {
            try waitUntil("\(name)") {
                hasEnded || (try? BlockingHTTPClient(port: port, key: nil).get(path)) != nil
            }
        } catch {
            throw WaitedInVain(description: "\(error): \(log)")
        }
        if hasEnded { throw WaitedInVain(description: "\(name) has ended: \(log)") }
    }

    /// Ends the program and waits until it is gone.
    public func end() {
        guard let id = process.withLock({ $0.take() }) else { return }
        kill(id, SIGKILL)
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
    }

    private var hasEnded: Bool {
        process.withLock { id in
            guard let running = id else { return true }
            var status: Int32 = 0
            guard waitpid(running, &status, WNOHANG) == running else { return false }
            id = nil
            return true
        }
    }
}
