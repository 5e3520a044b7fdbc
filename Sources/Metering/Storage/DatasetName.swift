// SPDX-License-Identifier: Apache-2.0
//
// Redis may be emptied under a running service: its logs begin anew then, with numbers that entries had
// before. Whoever keeps something of a log in memory asks with each reading whose it is.

internal import Redis

/// Knows the name of the data that were read last.
final class DatasetName {
    private let client: RedisClient
    private let keys: Keyspace
    /// Empty for none.
    private(set) var known: [UInt8] = []

    init(_ client: RedisClient, _ keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// Asks for the name. A name that is gone never comes back: what was read before the same name is of
    /// the same data.
    var question: RedisCommand { RedisCommand("HGET", [keys.meta, Self.field]) }

    /// Whether the data have the name that is known; from now on theirs is. Data without one get one.
    func isKnown(_ answer: RedisValue) async -> Bool {
        var name = answer.bytes
        if name == nil {
            let given = Array(Self.random().utf8)
            // A Redis that takes no writes this moment is read all the same.
            let replies = try? await client.send([
                RedisCommand("HSETNX", [keys.meta, Self.field, given]), question,
            ])
            name = replies?.last?.bytes
        }
        defer { known = name ?? [] }
        return known == name ?? []
    }

    /// Asks, and waits for it.
    func isKnown() async throws(MeteringError) -> Bool {
        let answer: RedisValue
        do {
            answer = try await client.send(question)
        } catch {
            throw .unavailable(error)
        }
        return await isKnown(answer)
    }

    /// A name for data that have none.
    static func random() -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static let field = Array("dataset".utf8)
}
