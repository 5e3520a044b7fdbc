// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import JSON

/// Writes the pools of keys that a state's file holds. Lists and sums are made anew from the keys.
final class PoolRestorer {
    private let writer: RestoreWriter
    private let keys: Keyspace
    private var rows: [PoolKeyRecord] = []
    private var holders: [PoolHolderRecord] = []

    init(_ writer: RestoreWriter) {
        self.writer = writer
        keys = writer.keys
    }

    var isFull: Bool { max(rows.count, holders.count) == RestoreWriter.valuesPerCall }

    /// Takes a line of one of the pool's lists; false when it is none that it could be.
    func take(_ value: JSONValue, of list: String) async throws -> Bool {
        switch list {
        case "pool_keys":
            guard let row = PoolKeyRecord(value) else { return false }
            // A call writes keys of one provider.
            if let other = rows.first, other.provider != row.provider { try await flush() }
            rows.append(row)
        case "pool_holders":
            guard let holder = PoolHolderRecord(value) else { return false }
            holders.append(holder)
        case "pool":
            guard let last = value["last_id"]?.string,
                let name = value["sealed_by"]?.text.flatMap({ Data(base64Encoded: $0) })
            else { return false }
            let facts = [("last_id", Array(last)), ("sealed_by", Array(name))]
            try await writer.put(facts, to: keys.pool, .plain) {
                $1.string($0.0)
                $1.string($0.1)
            }
        case "pool_providers":
            guard let provider = value["provider"]?.string, let text = value["threshold"]?.string
            else { return false }
            try await writer.put(
                [(Array(provider), Array(text))], to: keys.poolProviders, .plain
            ) {
                $1.string($0.0)
                $1.string($0.1)
            }
        default: break
        }
        return true
    }

    func flush() async throws {
        guard !rows.isEmpty || !holders.isEmpty else { return }
        let provider = rows.first.map { String(decoding: $0.provider, as: UTF8.self) } ?? "none"
        let packer = writer.packer
        packer.array(rows.count)
        for row in rows { row.pack(packer) }
        let packedRows = packer.take()
        packer.array(holders.count)
        for holder in holders { holder.pack(packer) }
        try await writer.check(
            writer.run(
                ScriptLibrary.restorePool,
                keys.pool(of: PoolProvider(stored: provider)) + [keys.meta],
                [packedRows, packer.take()]))
        (rows, holders) = ([], [])
    }
}
