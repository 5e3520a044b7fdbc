// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import JSON

extension ArchivedDay {
    /// Reads the lines around the subjects' of a file that was checked, and is of this day.
    init(
        _ day: CivilDay, from file: ArchiveFile, _ layout: ArchiveLayout, _ lines: ArchiveLineReader
    ) async throws(ArchiveError) {
        let head = try file.bytes(layout.head)
        var cursor = LineCursor()
        guard let first = cursor.next(head, lines.members) else {
            throw file.damaged("its first line is none")
        }
        guard let zone = first["zone"]?.text, let revision = first["revision"]?.integer,
            let isFinal = first["final"]?.boolean, let dataset = first["dataset"]?.text,
            let writtenAt = first["written_at"]?.string.flatMap({ Timestamp($0) })
        else { throw file.damaged("its first line is none") }
        self.init(
            day: day, zone: zone, revision: revision, isFinal: isFinal, dataset: dataset,
            writtenAt: writtenAt)
        guard let totals = cursor.next(head, lines.members).flatMap({ lines.sums($0) }) else {
            throw file.damaged("it has no totals")
        }
        self.totals = totals
        hours = try await Self.list("\"hours\":[", &cursor, head, file, lines)
        actions = try await Self.list("\"actions\":[", &cursor, head, file, lines)
        models = try await Self.list("\"models\":[", &cursor, head, file, lines)
        cells = try await Self.list("\"cells\":[", &cursor, head, file, lines)
        try readTail(file, layout, lines)
    }

    private static func list(
        _ title: StaticString, _ cursor: inout LineCursor, _ head: [UInt8], _ file: ArchiveFile,
        _ lines: ArchiveLineReader
    ) async throws(ArchiveError) -> [Cell] {
        guard cursor.next(head, { title.equals($0) }) == true else {
            throw file.damaged("\(title) is missing")
        }
        var cells: [Cell] = []
        while cursor.next(head, { $0.first == UInt8(ascii: "]") }) == false {
            cursor.goBack()
            guard let cell = cursor.next(head, { Cell($0, lines) }) else {
                throw file.damaged("a line of \(title)")
            }
            cells.append(cell)
            if cells.count % 500 == 0 { await Task.yield() }
        }
        return cells
    }

    private mutating func readTail(
        _ file: ArchiveFile, _ layout: ArchiveLayout, _ lines: ArchiveLineReader
    ) throws(ArchiveError) {
        let bytes = try file.bytes(layout.tail)
        var cursor = LineCursor()
        guard let tail = cursor.next(bytes, lines.members),
            let count = tail["subject_count"]?.integer, let ranks = tail["ranks"]
        else { throw file.damaged("its last lines are none") }
        subjectCount = count
        hourSubjects = tail["hour_subjects"]?.elements.compactMap(\.integer) ?? []
        for (key, list) in ranks.members {
            guard let meter = lines.meter(key.bytes) else { throw file.damaged("its ranks") }
            let entries = list.elements.compactMap { entry in
                entry["subject"]?.string.flatMap { subject in
                    entry["value"]?.integer.map {
                        LeaderboardEntry(subject: ByteString(subject), value: $0)
                    }
                }
            }
            guard entries.count == list.count else { throw file.damaged("its ranks") }
            self.ranks.append((meter, entries))
        }
    }
}

extension ArchivedDay.Cell {
    fileprivate init?(_ line: UnsafeBufferPointer<UInt8>, _ lines: ArchiveLineReader) {
        guard let object = lines.object(line), let sums = lines.sums(object) else { return nil }
        self.sums = sums
        if let text = object["hour"] {
            guard let time = text.string.flatMap({ Timestamp($0) }) else { return nil }
            hour = time.milliseconds / 1000
        }
        if let action = lines.label(object["action"]) { self.action = action }
        if let model = lines.label(object["model"]) { self.model = model }
    }
}

/// Goes through the lines of some bytes.
struct LineCursor {
    private var start = 0
    private var next = 0

    func hasMore(_ bytes: [UInt8]) -> Bool { next < bytes.count }

    /// Gives the next line, without its end; nil when there is none, or none to the body.
    mutating func next<Value>(
        _ bytes: [UInt8], _ body: (UnsafeBufferPointer<UInt8>) -> Value?
    ) -> Value? {
        start = next
        guard start < bytes.count else { return nil }
        return bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return nil }
            let end =
                memchr(base + start, 0x0a, bytes.count - start).map {
                    UnsafeRawPointer($0) - UnsafeRawPointer(base)
                } ?? bytes.count
            next = end + 1
            return body(UnsafeBufferPointer(rebasing: bytes[start..<end]))
        }
    }

    /// Gives the same line again.
    mutating func goBack() { next = start }
}
