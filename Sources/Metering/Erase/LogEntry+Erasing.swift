// SPDX-License-Identifier: Apache-2.0
//
// What an entry of the log holds of an erased subject is taken out of it; its place, its numbers and what it
// holds of others stay, so that sums of the log, and all that points into it, stay as they are.

/// An entry of the log without what it held of a subject.
struct ErasedEntry {
    /// As XADD takes them: names and values.
    private(set) var fields: [[UInt8]]
    /// Events that were the subject's.
    private(set) var eventCount = 0
    /// Ids that they had, each with its place in the entry.
    private(set) var ids: [(id: [UInt8], place: Int)] = []

    /// Nil when the entry holds nothing of them, or is damaged.
    ///
    /// - Parameters:
    ///   - fields: of the entry, as XRANGE tells them.
    ///   - names: the subject and its guests.
    init?(
        _ fields: [[UInt8]], of names: Set<ByteString>, for anonymous: SubjectID,
        _ writer: MessagePackWriter
    ) {
        guard fields.count == 6 || fields.count == 8,
            var parts = MessagePackValue(fields[1])?.array,
            LogEntry.partCounts.contains(parts.count),
            var subjects = parts[1].array, let rows = parts[3].integers,
            var events = parts[5].array
        else { return nil }
        self.fields = fields
        var isErased: Set<Int> = []
        for (index, subject) in subjects.enumerated() where Self.isOne(subject, of: names) {
            isErased.insert(index + 1)
            subjects[index] = .string(anonymous.id.bytes)
        }
        let lines = fields.count == 8 ? MessagePackValue(fields[7])?.array ?? [] : []
        var kept: [MessagePackValue] = []
        for index in stride(from: 0, to: lines.count - 2, by: 3)
        where !Self.isOne(lines[index], of: names) {
            kept += lines[index..<index + 3]
        }
        guard !isErased.isEmpty || kept.count < lines.count else { return nil }
        for (index, event) in events.enumerated() {
            guard var values = event.array, values.count >= 6, let row = values[0].integer,
                rows.indices.contains(2 * row - 2), isErased.contains(rows[2 * row - 2])
            else { continue }
            eventCount += 1
            if let id = values[4].bytes, !id.starts(with: LogPosition.reversalPrefix.utf8) {
                // That of a reversal is made of a place in the log, and tells that it is one.
                ids.append((id, index + 1))
                values[4] = .null
            }
            values[5] = .string([])
            events[index] = .array(values)
        }
        (parts[1], parts[5]) = (.array(subjects), .array(events))
        writer.value(.array(parts))
        self.fields[1] = writer.take()
        if kept.isEmpty {
            self.fields.removeSubrange(6...)
        } else if kept.count < lines.count {
            writer.value(.array(kept))
            self.fields[7] = writer.take()
        }
    }

    private static func isOne(_ value: MessagePackValue, of names: Set<ByteString>) -> Bool {
        value.bytes.map { names.contains(ByteString(bytes: $0)) } ?? false
    }
}
