// SPDX-License-Identifier: Apache-2.0

internal import CHiredis
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// A `redis-server` of a test's own, on a unix socket in a temporary folder.
///
/// It is always stopped with SIGKILL; with `appendOnly` its data survives `restart`.
public final class RedisServer: Sendable {
    /// What a fixture could not do.
    public struct Failure: Error { let reason: String }

    /// How the server keeps data.
    public enum Persistence: Sendable {
        case none
        case appendOnly(fsync: String)
    }

    public let folder: String
    public let socketPath: String
    private let arguments: [String]
    private let pid = Mutex<pid_t?>(nil)

    /// Starts a server and waits until it answers.
    public init(_ persistence: Persistence = .none, extra: [String] = []) throws {
        folder = try makeTemporaryFolder()
        socketPath = "\(folder)/redis.sock"
        var arguments = [
            "redis-server", "--port", "0", "--unixsocket", socketPath, "--dir", folder,
            "--save", "", "--logfile", "\(folder)/redis.log", "--enable-debug-command", "yes",
        ]
        if case .appendOnly(let fsync) = persistence {
            arguments += ["--appendonly", "yes", "--appendfsync", fsync]
        }
        self.arguments = arguments + extra
        try start()
    }

    deinit { stop() }

    /// The server's process, while it runs.
    public var processID: Int32? { pid.withLock { $0 } }

    /// Freezes the server: it takes commands in no more, but its socket stays open.
    public func pause() { pid.withLock { $0 }.map(freeze) }
    /// Lets a frozen server go on.
    public func resume() { signal(SIGCONT) }

    /// Ends the server as a crash would.
    public func kill() {
        guard let id = pid.withLock({ $0.take() }) else { return }
        Glibc.kill(id, SIGKILL)
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
    }

    /// Starts the server after `kill`, on the same folder, and waits until it answers.
    public func start() throws {
        unlink(socketPath)
        pid.withLock { $0 = 0 }
        let id = try spawn(arguments)
        pid.withLock { $0 = id }
        for _ in 0..<2_000 {
            // One that wants a password first is up as well.
            if let reply = try? request("PING"), !reply.hasPrefix("-LOADING") { return }
            usleep(2_000)
        }
        throw Failure(reason: "redis-server does not answer; see \(folder)/redis.log")
    }

    /// Kills the server and starts it again.
    public func restart() throws {
        kill()
        try start()
    }

    /// Ends the server and removes its folder.
    public func stop() {
        kill()
        removeFolder(folder)
    }

    /// Sends an inline command on a connection of its own; the first piece of the reply, raw.
    @discardableResult
    public func request(_ line: String) throws -> String {
        let descriptor = try connectUnix(socketPath)
        defer { close(descriptor) }
        let text = line.hasSuffix("\r\n") ? line : line + "\r\n"
        guard Glibc.send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL)) > 0 else {
            throw Failure(reason: "send: \(errno)")
        }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { throw Failure(reason: "no reply") }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    private func signal(_ number: Int32) {
        pid.withLock { id in
            if let id { _ = Glibc.kill(id, number) }
        }
    }
}

/// Runs a test's body with a server of its own.
public func withRedis<Value>(
    _ persistence: RedisServer.Persistence = .none, extra: [String] = [],
    _ body: (RedisServer) async throws -> Value
) async throws -> Value {
    let server = try RedisServer(persistence, extra: extra)
    defer { server.stop() }
    return try await body(server)
}

/// A new folder that only this user may enter, with a short path.
public func makeTemporaryFolder() throws -> String {
    var template = Array("/tmp/tally-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw RedisServer.Failure(reason: "mkdtemp: \(errno)") }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}

/// Removes a folder and all that is in it.
public func removeFolder(_ path: String) {
    try? FileManager.default.removeItem(atPath: path)
}

/// A blocking connection to a unix socket.
func connectUnix(_ path: String) throws -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    let descriptor = socket(
        AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    let status = withUnsafeBytes(of: &address) {
        connect(
            descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self),
            socklen_t($0.count))
    }
    guard status == 0 else {
        close(descriptor)
        throw RedisServer.Failure(reason: "connect: \(errno)")
    }
    return descriptor
}

/// Starts a program with no signal blocked and no file of ours open; its output is added to a file.
public func spawn(
    _ arguments: [String], environment: [String: String]? = nil, output: String = "/dev/null"
) throws -> Int32 {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for descriptor: Int32 in 1...2 {
        posix_spawn_file_actions_addopen(
            &actions, descriptor, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    // All of them: others wait for the end of inputs that a child would hold. CHiredis declares the call,
    // which Swift's Glibc does not show.
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var variables: [UnsafeMutablePointer<CChar>?] =
        (environment ?? [:]).map { strdup("\($0)=\($1)") } + [nil]
    defer { for variable in variables { free(variable) } }
    var id: pid_t = 0
    let status = variables.withUnsafeMutableBufferPointer {
        posix_spawnp(
            &id, arguments[0], &actions, &attributes, &words,
            environment == nil ? environ : $0.baseAddress ?? environ)
    }
    guard status == 0 else { throw RedisServer.Failure(reason: "posix_spawnp: \(status)") }
    return id
}

extension RedisServer {
    /// The digest of the whole data set, as Redis computes it: of the names, types and values of all keys, and
    /// of whether they expire. Unlike DUMP it does not depend on how values are laid out in memory.
    public func fingerprint() throws -> String { try request("DEBUG DIGEST") }

    /// As `fingerprint`, and when each key expires.
    public func fingerprintWithExpiries() throws -> String {
        let script =
            "local all = redis.call('KEYS', '*') for i, key in ipairs(all) do "
            + "all[i] = key .. ' ' .. redis.call('PEXPIRETIME', key) end "
            + "table.sort(all) return redis.sha1hex(table.concat(all, ';'))"
        return try fingerprint() + request("EVAL \"\(script)\" 0")
    }

    /// As `fingerprint`, but for the log of what administrators tried to do, in which refusals are, too.
    public func fingerprintWithoutAudit() throws -> String {
        let lines = try request("KEYS *").replacing("\r\n", with: "\n").split(separator: "\n")
        let names = lines.filter { $0.hasPrefix("t1:") && !$0.contains(":audit") }.sorted()
        guard !names.isEmpty else { return "" }
        let list = names.joined(separator: " ")
        return list + (try request("DEBUG DIGEST-VALUE \(list)"))
    }
}
