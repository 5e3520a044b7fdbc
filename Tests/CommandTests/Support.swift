// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

@testable import TallyCommand

/// What a command did.
struct Outcome {
    var code: Int32
    var output: String
    var errors: String
    var configuration: ServiceConfiguration?
}

/// Runs a command line in this process, and keeps what it writes.
///
/// - Parameters:
///   - isRead: whether anybody reads its standard output.
///   - work: what `verify` and `restore` do.
func tally(
    _ words: [String], _ environment: [String: String] = [:], isRead: Bool = true,
    work: @escaping TallyCommand.Work = { _, _ in }
) async -> Outcome {
    let written = Mutex((output: "", errors: ""))
    let served = Mutex<ServiceConfiguration?>(nil)
    let console = Console(
        print: { text in
            guard isRead else { throw OutputClosed() }
            written.withLock { $0.output += text + "\n" }
        },
        complain: { text in written.withLock { $0.errors += text } },
        showsProgress: false,
        send: { bytes in
            written.withLock { $0.output += String(decoding: bytes, as: UTF8.self) }
        })
    let code = await TallyCommand.run(words, environment, console, work: work) { configuration, _ in
        served.withLock { $0 = configuration }
        return 0
    }
    let (output, errors) = written.withLock { $0 }
    return Outcome(
        code: code, output: output, errors: errors, configuration: served.withLock { $0 })
}

/// A folder that is gone when the test ends.
final class TemporaryFolder: Sendable {
    let path = NSTemporaryDirectory() + "tally-test-\(UUID().uuidString)"

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String, _ text: String, mode: Int = 0o600) throws -> String {
        let file = path + "/" + name
        try Data(text.utf8).write(to: URL(filePath: file))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }
}

/// The stand-in of the service, in a process of its own.
final class StandIn {
    static let key = "tly_test-key-0123456789"
    /// Of the workspace `acme`, where `key` is the operator's.
    static let ownKey = "tly_key-of-acme-012345"
    let environment: [String: String]
    private let process = Process()
    private let input = Pipe()

    init() throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Fixtures/service.py")
        let output = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", script.path]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let port = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        environment = ["TALLY_URL": "http://127.0.0.1:\(port)", "TALLY_KEY": Self.key]
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

/// A port where connections wait for ever: nobody takes those that fill its queue.
final class SilentPort {
    let port: UInt16
    private var descriptors: [Int32]

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        descriptors = [listener]
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) + listen(listener, 0)
                    + getsockname(listener, $0, &length)
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        guard failed == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        for _ in 0..<4 {
            let waiting = socket(
                AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            descriptors.append(waiting)
            _ = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(waiting, $0, length)
                }
            }
        }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}

extension TemporaryFolder {
    /// A named pipe, of which each read gives a piece of so many bytes.
    func pipe(_ name: String, _ bytes: [UInt8], by count: Int = 1) throws -> String {
        let file = path + "/" + name
        guard mkfifo(file, 0o600) == 0 else { throw POSIXError(.EIO) }
        Thread.detachNewThread {
            // It reads, too: so a reader that is gone ends nothing but itself. Where there is nothing to wait
            // for it waits for the reader, who would else wait for ever.
            let end = open(file, (bytes.isEmpty ? O_WRONLY : O_RDWR) | O_CLOEXEC)
            defer { close(end) }
            for start in stride(from: 0, to: bytes.count, by: count) {
                let piece = Array(bytes[start...].prefix(count))
                guard write(end, piece, piece.count) == piece.count else { return }
                var waiting: CInt = 0
                while ioctl(end, UInt(FIONREAD), &waiting) == 0, waiting > 0 { usleep(100) }
            }
        }
        return file
    }

    /// What an import reads of a file.
    func items(
        _ name: String, _ text: String, _ words: [String] = []
    ) throws -> [EventReader.Item] {
        try items(of: file(name, text), words)
    }

    func items(of path: String, _ words: [String] = []) throws -> [EventReader.Item] {
        var arguments = Arguments([path] + words, ImportVerb.options)
        let reader = try EventReader(ImportVerb.read(&arguments, [:]))
        var items: [EventReader.Item] = []
        while let item = try reader.next() { items.append(item) }
        return items
    }
}
