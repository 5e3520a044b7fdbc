// SPDX-License-Identifier: Apache-2.0

/// How a private Redis keeps its data.
public struct RedisServerConfiguration: Sendable {
    /// When Redis forces a write to the disk.
    public enum Durability: String, Sendable, CaseIterable {
        /// Before each acknowledgement (one for all that wait): nothing acknowledged is lost.
        case always
        /// Every second: a crash of Redis or of the host may take the last writes with it.
        case everysec
    }

    /// The folder of the data. It is made when it does not exist, for this user alone.
    public var folder: String
    public var durability: Durability
    /// How much memory the data may take; nil is no limit. Past it writes fail, nothing is evicted.
    public var memoryBytesMax: Int?
    /// The program, when it is not the `redis-server` of `PATH`.
    public var executable: String?

    public init(
        folder: String, durability: Durability = .always, memoryBytesMax: Int? = nil,
        executable: String? = nil
    ) {
        self.folder = folder
        self.durability = durability
        self.memoryBytesMax = memoryBytesMax
        self.executable = executable
    }

    /// Has jemalloc, by which Redis allocates, ask for huge pages: among a million subjects finding the page costs
    /// the processor about as much as reading it (docs/adr/0023-huge-pages.md).
    static let environment = ["MALLOC_CONF=thp:always"]

    /// The text of `redis.conf`.
    func text(folder: String, socketPath: String) -> String {
        var lines = [
            "port 0", "unixsocket \(Self.quoted(socketPath))", "unixsocketperm 700",
            "dir \(Self.quoted(folder))", "daemonize no", "loglevel notice",
            "save \"\"", "appendonly yes", "appendfsync \(durability.rawValue)",
            "no-appendfsync-on-rewrite no", "aof-use-rdb-preamble yes",
            // It leaves the beginning of a transaction there: see RedisSupervisor.mendLog.
            "aof-load-truncated no",
            "disable-thp no",  // See `environment`.
            "maxmemory-policy noeviction",
            "enable-debug-command no", "enable-module-command no", "enable-protected-configs no",
            "busy-reply-threshold 500", "proto-max-bulk-len 16mb",
            "client-query-buffer-limit 64mb",
            "lazyfree-lazy-eviction yes", "lazyfree-lazy-expire yes",
            "lazyfree-lazy-server-del yes", "lazyfree-lazy-user-del yes",
            "lazyfree-lazy-user-flush yes",
        ]
        if let memoryBytesMax { lines.append("maxmemory \(memoryBytesMax)") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ path: String) -> String {
        "\""
            + path.utf8.map { byte in
                switch byte {
                case 0x22, 0x5c, 0..<0x20, 0x7f...:
                    "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
                default: String(UnicodeScalar(byte))
                }
            }
            .joined() + "\""
    }
}

/// Why a private Redis does not run.
public enum RedisServerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A program is missing; `package` has it.
    case notInstalled(program: String, package: String)
    /// The data folder cannot be used.
    case folder(String, reason: String)
    /// Another process serves this folder; its id, when it could be read.
    case locked(folder: String, processID: Int32?)
    /// Redis ended before it could be used; what it wrote last.
    case exited(status: String, log: String)
    /// Redis ended, and its disk has no room.
    case storageFull(folder: String, bytesFree: Int)
    /// It was told to stop before Redis could be used.
    case stopped
    case system(call: String, errno: Int32)

    public var description: String {
        switch self {
        case .notInstalled(let program, let package):
            "\(program) is not installed: apt install \(package)"
        case .folder(let path, let reason): "data folder \(path): \(reason)"
        case .locked(let folder, let id):
            "data folder \(folder) is in use by "
                + (id.map { "process \($0)" } ?? "another process")
        case .exited(let status, let log): "redis-server ended (\(status)): \(log)"
        case .storageFull(let path, let bytes):
            "\(Self.fullDisk) (\(path), \(bytes) bytes are free)"
        case .stopped: "redis-server was stopped while it started"
        case .system(let call, let code): "\(call): \(systemMessage(code))"
        }
    }

    private static let fullDisk = "the disk of the data folder is full"

    /// What clients may be told, to whom paths and what Redis prints are nobody's business; nil for nothing.
    var publicReason: String? {
        switch self {
        case .folder(_, let reason): "the data folder: \(reason)"
        case .storageFull: Self.fullDisk
        default: nil
        }
    }
}
