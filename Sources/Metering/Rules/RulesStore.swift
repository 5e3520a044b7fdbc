// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

/// The rules of a workspace: reads them, and puts parts of them in force. On its loop only.
///
/// Nothing has to tell other processes of a change: a batch that names an old version is refused by
/// its script, and built again.
///
/// A workspace's zone may change before anything is counted. The rules tell of it in the same step: an
/// engine that goes by the old one reads no rules from then on, and so counts nothing. A deletion does so, too:
/// an engine that has not heard of it counts nothing, whatever was made of the workspace's id meanwhile.
final class RulesStore {
    private static let moved = "the workspace has got another time zone; ask again in a second"
    private static let gone = "the workspace was deleted"

    /// The rules last read; nil before the first reading.
    private(set) var current: Rules?

    private let client: RedisClient
    private let keys: Keyspace
    /// By which days are cut here; nil where none are.
    private let zone: String?
    private let reader: JSONReader
    private var isPutting = false
    private var putters: [CheckedContinuation<Void, Never>] = []
    private var waiting: [(Result<Rules, MeteringError>) -> Void] = []

    init(client: RedisClient, keys: Keyspace, zone: String? = nil) {
        self.zone = zone
        guard let reader = try? JSONReader() else { preconditionFailure("no memory at the start") }
        self.client = client
        self.keys = keys
        self.reader = reader
    }

    /// Reads the rules; calls that come while a reading is under way share it.
    func load(_ completion: @escaping (Result<Rules, MeteringError>) -> Void) {
        waiting.append(completion)
        guard waiting.count == 1 else { return }
        client.send(RedisCommand("HGETALL", [keys.rules])) { [self] result in
            let outcome: Result<Rules, MeteringError>
            switch result {
            case .failure(let error): outcome = .failure(.unavailable(error))
            case .success(.error(_, let message)): outcome = .failure(.damaged(what: message))
            case .success(let value):
                do throws(Rules.Damage) {
                    let rules = try Rules(value, reader)
                    let fault = fault(of: rules)
                    current = fault == nil ? rules : nil
                    outcome = fault.map { .failure(.undecided(reason: $0)) } ?? .success(rules)
                } catch {
                    outcome = .failure(.damaged(what: "\(error.field) of the rules"))
                }
            }
            let callers = waiting
            waiting = []
            for caller in callers { caller(outcome) }
        }
    }

    /// Why nothing may go by these rules here; nil when it may.
    private func fault(of rules: Rules) -> String? {
        if rules.version == Rules.deleted { return Self.gone }
        return zone == nil || rules.zone == nil || rules.zone == zone ? nil : Self.moved
    }

    func load() async throws(MeteringError) -> Rules {
        let result = await withCheckedContinuation { continuation in
            load { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Puts a new part in force, made from the rules as they are; again if another loop or process
    /// was faster.
    ///
    /// - Parameter tag: the entity tag that the part has to have; nil for any.
    /// - Throws: 412 `precondition_failed`, what `make` throws, or `MeteringError`.
    func put(
        _ part: Rules.Part, ifTag tag: String? = nil,
        _ make: (Rules, inout JSONWriter) throws -> Void
    ) async throws -> Rules {
        // One after the other on this loop, so that they do not put each other back.
        if isPutting {
            // Tasks of others may be suspended on the way: the turn may be free by now.
            await withCheckedContinuation {
                if isPutting {
                    putters.append($0)
                } else {
                    isPutting = true
                    $0.resume()
                }
            }
        }
        isPutting = true
        defer {
            isPutting = !putters.isEmpty
            if isPutting { putters.removeFirst().resume() }
        }
        for _ in 0..<100 {
            let rules = try await load()
            if let tag, tag != rules.entityTag(of: part) {
                throw EventRejection(
                    status: 412, code: "precondition_failed", field: "",
                    detail: "it was changed since; its ETag is another one")
            }
            var writer = JSONWriter()
            try make(rules, &writer)
            let reply: RedisValue
            do {
                reply = try await client.run(
                    ScriptLibrary.putRules, keys: [keys.rules, keys.changes],
                    arguments: [rules.version, Array(part.rawValue.utf8), writer.bytes])
            } catch {
                throw MeteringError.unavailable(error)
            }
            guard case .integer(1) = reply else { continue }
            do {
                return try await load()
            } catch {
                throw MeteringError.undecided(reason: error.reason)
            }
        }
        throw MeteringError.postponed(reason: "others change the rules at this moment")
    }
}
