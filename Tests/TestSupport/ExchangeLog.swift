// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// What the service was asked and answered in tests, for scripts/check-responses: a JSON object a
/// line, in a file of this process in the folder that `TALLY_EXCHANGES` names. Nothing without it.
public final class ExchangeLog: Sendable {
    public static let shared = ExchangeLog(
        folder: ProcessInfo.processInfo.environment["TALLY_EXCHANGES"])

    /// What is longer is left out.
    private static let bytesMax = 100_000
    private let isOn: Bool
    private let file: Mutex<FileHandle?>

    private init(folder: String?) {
        isOn = folder != nil
        guard let folder else {
            file = Mutex(nil)
            return
        }
        let path = "\(folder)/\(ProcessInfo.processInfo.processIdentifier).ndjson"
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        file = Mutex(FileHandle(forWritingAtPath: path))
    }

    /// Adds an exchange.
    ///
    /// - Parameters:
    ///   - target: the path, and the query behind a `?`, as sent.
    ///   - body: nil when it was not read.
    public func add(
        _ method: String, _ target: String, sent: (type: String?, body: [UInt8]),
        _ status: Int, _ headers: [String: String], _ body: [UInt8]?
    ) {
        guard isOn else { return }
        var members: [String: Any] = [
            "method": method, "target": target, "status": status, "headers": headers,
            "request": Self.text(sent.body) ?? NSNull(), "body": Self.text(body) ?? NSNull(),
        ]
        if let type = sent.type { members["request_type"] = type }
        guard let line = try? JSONSerialization.data(withJSONObject: members) else { return }
        file.withLock { $0?.write(line + Data([0x0a])) }
    }

    private static func text(_ bytes: [UInt8]?) -> String? {
        guard let bytes, bytes.count <= bytesMax else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
