// SPDX-License-Identifier: Apache-2.0
//
// What alerts have told is read after the accounts: of one that stands in the file with its account
// nothing is told again.

internal import JSON

extension StateSnapshot {
    /// Writes what alerts have told.
    func writeTold(to file: SnapshotFile) async throws(FlushError) {
        _ = try await list(
            "\"alerts_told\":[", keys.alertsTold, by: Self.fieldsPerCall, to: file
        ) { (subjects, values, line) async throws(FlushError) in
            for (subject, value) in zip(subjects, values) {
                guard let value else { continue }
                guard let told = ToldRecord(subject, packed: value) else {
                    throw .damaged("what alerts have told")
                }
                try line { told.write(&$0) }
            }
        }
    }
}

/// What alerts have told of a subject, or, for the empty one, of budgets.
struct ToldRecord {
    let subject: [UInt8]
    /// Flat: an alert's id, when its window or month ends, the highest percent.
    let told: [Int]

    init?(_ subject: [UInt8], packed: [UInt8]) {
        guard let told = MessagePackValue(packed)?.integers, told.count % 3 == 0 else { return nil }
        self.subject = subject
        self.told = told
    }

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject)
        json.key("told")
        json.beginArray()
        for number in told { json.integer(number) }
        json.endArray()
        json.endObject()
    }

    init?(_ value: JSONValue) {
        guard let subject = value["subject"]?.string, let list = value["told"],
            list.kind == .array, list.count % 3 == 0
        else { return nil }
        let told = list.elements.compactMap(\.integer)
        guard told.count == list.count else { return nil }
        self.subject = Array(subject)
        self.told = told
    }
}
