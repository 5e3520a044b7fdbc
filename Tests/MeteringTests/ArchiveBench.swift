// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

/// Reads days as the plainest reader of their files does, and as Tally does.
func expectSameReading(
    _ archive: Archive, _ reading: SnapshotReading,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let day = try #require(CivilDay(reading.date))
    let head = try await archive.head(day)
    #expect(plain(head.totals) == reading.totals, sourceLocation: sourceLocation)
    #expect(head.revision == reading.revision && head.isFinal == reading.isFinal)
    #expect(head.subjectCount == reading.subjects.count, sourceLocation: sourceLocation)
    var cells: [SnapshotReading.Cell: SnapshotReading.Sums] = [:]
    for cell in head.cells {
        let place = SnapshotReading.Cell(
            hour: Timestamp(milliseconds: (cell.hour ?? 0) * 1000).text, action: cell.action.text,
            model: cell.model.text)
        cells[place] = plain(cell.sums)
    }
    #expect(cells == reading.cells, sourceLocation: sourceLocation)
    for (list, what) in [(head.hours, "hours"), (head.actions, "actions"), (head.models, "models")]
    {
        var sum = SnapshotReading.Sums()
        for cell in list { sum.add(plain(cell.sums)) }
        #expect(sum == reading.totals, "\(what)", sourceLocation: sourceLocation)
    }
    for (meter, entries) in head.ranks {
        let texts = entries.map { "\($0.subject.text) \($0.value)" }
        #expect(texts == reading.ranks[meter.name], sourceLocation: sourceLocation)
    }
    let streamed = Gathered()
    try await archive.eachSubject(of: day) { slice in
        #expect(slice.count <= 200)
        streamed.subjects += slice
    }
    #expect(streamed.subjects.map(\.subject) == streamed.subjects.map(\.subject).sorted())
    let texts = streamed.subjects.map { ($0.subject.text, plain($0.sums)) }
    #expect(
        Dictionary(texts) { one, _ in one } == reading.subjects, sourceLocation: sourceLocation)
    for (id, sums) in reading.subjects {
        let found = try await archive.use(of: subjectID(id), on: day)
        #expect(found.map { plain($0.sums) } == sums, "\(id)", sourceLocation: sourceLocation)
    }
    for id in ["!", "s", "zzzz", "\u{10FFFD}"] where reading.subjects[id] == nil {
        let found = try await archive.use(of: subjectID(id), on: day)
        #expect(found == nil, "\(id)", sourceLocation: sourceLocation)
    }
}

/// What a body that may be called from elsewhere gathers.
final class Gathered {
    var subjects: [ArchivedSubject] = []
}

func plain(_ sums: ArchivedSums) -> SnapshotReading.Sums {
    var plain = SnapshotReading.Sums()
    plain.events = sums.events
    for (meter, amount) in sums.amounts { plain.meters[meter.name] = amount }
    return plain
}

extension FlushBench {
    /// Reads its files, with nothing remembered.
    func archive(_ settings: WorkspaceSettings = WorkspaceSettings()) throws -> Archive {
        try Archive(client: client, settings: settings, data: data, metrics: MetricsRegistry())
    }

    func path(_ date: String) -> String { "\(data)/rollups/default/\(date.prefix(4))/\(date).json" }
}

/// Writes bytes into a file as it is.
func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws {
    let handle = try FileHandle(forWritingTo: URL(filePath: path))
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
}
