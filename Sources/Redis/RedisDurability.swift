// SPDX-License-Identifier: Apache-2.0

/// What a Redis promises about acknowledged writes.
public enum RedisDurability: String, Sendable {
    /// Each is on the disk before it is acknowledged: it survives the loss of power.
    case fsynced
    /// Each is written out about every second: a crash may take the last ones.
    case kernel
    /// None survives a restart of Redis.
    case none
    /// Redis does not tell; no promise can be made.
    case unknown
}

/// A Redis, as far as it tells about itself.
public struct RedisServerReport: Sendable, Equatable {
    public var durability: RedisDurability = .unknown
    /// Whether it keeps a log of what is written (`appendonly`). Nil if untold.
    public var keepsLog: Bool?
    /// `maxmemory-policy`; anything but `noeviction` lets Redis throw data away. Nil if untold.
    public var evictionPolicy: String?
    /// Such as `7.0.15`. Nil if untold.
    public var version: String?
    /// Whether it starts with a log that was cut in the midst of a write, and leaves the beginning of a
    /// transaction there (`aof-load-truncated`). Nil if untold.
    public var loadsTruncatedLog: Bool?
    /// How often it went on though the disk had not taken what was written for two seconds, since it
    /// started (`aof_delayed_fsync`, with `everysec`). Nil if untold.
    public var delayedSyncCount: Int?
    /// Whether it follows another Redis and refuses writes. Nil if untold.
    public var isReplica: Bool?
    /// Whether it is part of a Redis Cluster. Nil if untold.
    public var isClusterNode: Bool?

    init() {}

    /// Asks a connected Redis. What it never tells, as the user may not ask for it or it has no such command, stays
    /// unknown.
    ///
    /// - Throws: when there is no connection, it breaks, or Redis cannot tell now.
    public init(askedFrom client: RedisClient) async throws(RedisError) {
        self.init()
        read(information: try await Self.answer(RedisCommand("INFO"), of: client)?.text ?? "")
        let appendOnly = try await Self.setting("appendonly", of: client)
        let fsync = try await Self.setting("appendfsync", of: client)
        let restsInRewrites = try await Self.setting("no-appendfsync-on-rewrite", of: client)
        if let appendOnly { keepsLog = appendOnly == "yes" }
        evictionPolicy = try await Self.setting("maxmemory-policy", of: client) ?? evictionPolicy
        loadsTruncatedLog = try await Self.setting("aof-load-truncated", of: client).map {
            $0 == "yes"
        }
        switch (appendOnly, fsync) {
        case ("no", _): durability = .none
        // While its log is rewritten, nothing is forced to the disk then.
        case ("yes", "always") where restsInRewrites == "yes": durability = .kernel
        case ("yes", "always"): durability = .fsynced
        case ("yes", "everysec"): durability = .kernel
        // `appendfsync no` leaves it to the system when to write: up to half a minute.
        case ("yes", "no"): durability = .none
        default: break
        }
    }

    /// Takes what is of interest from the text of `INFO`.
    mutating func read(information: String) {
        for line in information.utf8.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
                let name = String(line[..<colon]),
                let value = String(line[line.index(after: colon)...])
            else { continue }
            switch name {
            case "redis_version": version = value
            case "maxmemory_policy": evictionPolicy = value
            case "role": isReplica = value != "master"
            case "cluster_enabled": isClusterNode = value == "1"
            case "aof_delayed_fsync": delayedSyncCount = Int(value)
            case "aof_enabled":
                keepsLog = value == "1"
                if value == "0" { durability = .none }
            default: break
            }
        }
    }

    private static func setting(
        _ name: String, of client: RedisClient
    ) async throws(RedisError) -> String? {
        var command = RedisCommand("CONFIG")
        command.append("GET")
        command.append(name)
        guard let pair = try await answer(command, of: client)?.array, pair.count == 2 else {
            return nil
        }
        return pair[1].text
    }

    /// The reply; nil when Redis refuses the command for good, and not because it is busy.
    private static func answer(
        _ command: RedisCommand, of client: RedisClient
    ) async throws(RedisError) -> RedisValue? {
        do throws(RedisError) {
            return try await client.send(command)
        } catch {
            if case .server(let code, _) = error, code == "NOPERM" || code == "ERR" { return nil }
            throw error
        }
    }
}
