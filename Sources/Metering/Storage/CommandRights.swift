// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Finds out whether Redis lets the service do all that it has to: a user of Redis may lack single
/// commands, and everything else would seem well until one of them is called. On its loop's thread only.
public final class CommandRights {
    /// All commands of the scripts, and those that are sent besides them.
    static let commands: [StaticString] = [
        "DEL", "EXISTS", "EXPIRE", "GET", "HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HKEYS",
        "HLEN", "HMGET", "HSCAN", "HSET", "HSETNX", "INCR", "INCRBY", "PEXPIREAT", "PEXPIRETIME",
        "PFADD", "PFCOUNT", "RENAME", "SADD", "SCAN", "SCARD", "SET", "SISMEMBER", "SMEMBERS",
        "SMISMEMBER", "SREM", "SSCAN", "STRLEN", "TIME", "TYPE", "UNLINK", "XADD", "XDEL", "XLEN",
        "XRANGE", "XREVRANGE", "ZADD", "ZCARD", "ZCOUNT", "ZLEXCOUNT", "ZMSCORE", "ZRANGE",
        "ZRANGEBYLEX", "ZRANK", "ZREM", "ZREMRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYLEX",
        "ZREVRANGEBYSCORE", "ZSCAN",
        "ZSCORE",
    ]

    private let client: RedisClient
    private let key: [UInt8]

    public init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        key = Keyspace(settings).probe
    }

    /// Why the user of Redis cannot do the service's work, and what to do; nil when it can, or when
    /// Redis does not tell.
    public func problem() async -> String? {
        let arguments = Self.commands.map { Array("\($0)".utf8) }
        let remedy = "; give the user what docs/keys.md tells, with ACL SETUSER"
        do throws(RedisError) {
            let reply = try await client.run(
                ScriptLibrary.checkRights, keys: [key], arguments: arguments)
            let refused = (reply.array ?? []).compactMap(\.text)
            guard !refused.isEmpty else { return nil }
            let most = 5
            let more = refused.count > most ? " and \(refused.count - most) more" : ""
            return "the user of Redis may not run \(refused.prefix(most).joined(separator: ", "))"
                + "\(more) on keys that begin with t1:" + remedy
        } catch {
            guard case .server(code: "NOPERM", let message) = error else { return nil }
            return "the user of Redis lacks a right: NOPERM \(message)" + remedy
        }
    }
}
