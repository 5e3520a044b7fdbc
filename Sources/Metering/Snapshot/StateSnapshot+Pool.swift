// SPDX-License-Identifier: Apache-2.0
//
// Holders are read after keys: what was counted of one is no less than what its keys say.

internal import Foundation
internal import JSON

extension StateSnapshot {
    /// Writes the pools of keys.
    func writePool(to file: SnapshotFile) async throws(FlushError) {
        let facts = try await hash.values(
            keys.pool, of: ["last_id", "sealed_by"].map { Array($0.utf8) })
        try file.append("\"pool\":[")
        if let last = facts[0] {
            json.beginObject()
            json.member("last_id", last)
            json.member("sealed_by", Array(Data(facts[1] ?? []).base64EncodedString().utf8))
            json.endObject()
            try file.append("\n")
            try put(to: file)
        }
        try file.append("\n],\n")
        _ = try await list("\"pool_keys\":[", keys.poolKeys, by: Self.fieldsPerCall, to: file) {
            (ids, values, line) async throws(FlushError) in
            let secrets = try await hash.values(keys.poolSecrets, of: ids)
            for (index, id) in ids.enumerated() {
                // One that has neither was deleted meanwhile.
                guard let value = values[index], let sealed = secrets[index] else { continue }
                guard let key = PoolKeyRecord(id, packed: value, sealed: sealed) else {
                    throw .damaged("a key of a pool")
                }
                try line { key.write(&$0) }
            }
        }
        _ = try await list(
            "\"pool_holders\":[", keys.poolHolders, by: Self.fieldsPerCall, to: file
        ) { (subjects, values, line) async throws(FlushError) in
            for (subject, value) in zip(subjects, values) {
                guard let value else { continue }
                guard let holder = PoolHolderRecord(subject, packed: value) else {
                    throw .damaged("a holder of keys")
                }
                try line { holder.write(&$0) }
            }
        }
        try await writeProviders(to: file)
    }

    private func writeProviders(to file: SnapshotFile) async throws(FlushError) {
        _ = try await list(
            "\"pool_providers\":[", keys.poolProviders, by: Self.fieldsPerCall, to: file
        ) { (names, values, line) async throws(FlushError) in
            for (name, value) in zip(names, values) {
                guard let value else { continue }
                try line { json in
                    json.beginObject()
                    json.member("provider", name)
                    json.member("threshold", value)
                    json.endObject()
                }
            }
        }
    }
}
