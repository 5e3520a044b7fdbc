// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Goes through the subjects of a file, whatever their number, with a piece of it in memory.
struct ArchiveSubjects {
    private static let pieceCount = 262_144

    private let file: ArchiveFile
    private let lines: ArchiveLineReader
    private var bytes: [UInt8] = []
    /// How far `bytes` is read, and what of the file comes next.
    private var place = 0
    private var offset: Int
    private let end: Int

    init(_ file: ArchiveFile, _ layout: ArchiveLayout, _ lines: ArchiveLineReader) {
        self.file = file
        self.lines = lines
        (offset, end) = (layout.subjects.lowerBound, layout.subjects.upperBound)
    }

    /// The next subjects, at most so many; nil when there are no more.
    mutating func next(_ count: Int) throws(ArchiveError) -> [ArchivedSubject]? {
        var subjects: [ArchivedSubject] = []
        subjects.reserveCapacity(count)
        while subjects.count < count {
            guard let end = try lineEnd() else { break }
            let subject = bytes.withUnsafeBufferPointer { bytes in
                lines.subject(UnsafeBufferPointer(rebasing: bytes[place..<end]))
            }
            guard let subject else { throw file.damaged("a line of a subject") }
            subjects.append(subject)
            place = end + 1
        }
        return subjects.isEmpty ? nil : subjects
    }

    /// Where the line at `place` ends; nil when there is none.
    private mutating func lineEnd() throws(ArchiveError) -> Int? {
        var searched = place
        while true {
            let found = bytes.withUnsafeBufferPointer { bytes -> Int? in
                guard let base = bytes.baseAddress, searched < bytes.count else { return nil }
                return memchr(base + searched, 0x0a, bytes.count - searched).map {
                    UnsafeRawPointer($0) - UnsafeRawPointer(base)
                }
            }
            if let found { return found }
            guard offset < end else { return place < bytes.count ? bytes.count : nil }
            if place > 0, place <= bytes.count { bytes.removeSubrange(..<place) }
            searched = bytes.count
            place = 0
            let part = try file.bytes(offset..<min(end, offset + Self.pieceCount))
            guard !part.isEmpty else { throw file.damaged("it became shorter") }
            bytes += part
            offset += part.count
        }
    }
}

extension ArchiveFile {
    /// What is not halved any more, but read as a whole.
    private static let spanCount = 8192

    /// The line of a subject, found by halving the lines' range; nil when there is none.
    func subject(
        _ id: [UInt8], _ layout: ArchiveLayout, _ lines: ArchiveLineReader
    ) throws(ArchiveError) -> ArchivedSubject? {
        // Both are where a line begins, or the end. The line is one of those from `low` to `high`.
        var (low, high) = (layout.subjects.lowerBound, layout.subjects.upperBound)
        while high - low > Self.spanCount {
            let middle = low + (high - low) / 2
            guard let start = try lineStart(behind: middle, high),
                let line = try line(at: start, layout.subjects.upperBound)
            else { break }
            guard let order = line.withUnsafeBufferPointer({ lines.order($0, id) }) else {
                throw damaged("a line of a subject")
            }
            if order <= 0 { low = start } else { high = start }
        }
        let bytes = try self.bytes(low..<high)
        var cursor = LineCursor()
        while cursor.hasMore(bytes) {
            guard let order = cursor.next(bytes, { lines.order($0, id) }) else {
                throw damaged("a line of a subject")
            }
            if order > 0 { return nil }
            guard order == 0 else { continue }
            cursor.goBack()
            guard let subject = cursor.next(bytes, { lines.subject($0) }) else {
                throw damaged("a line of a subject")
            }
            return subject
        }
        return nil
    }

    /// Where the first line begins that begins behind an offset and before an end.
    private func lineStart(behind offset: Int, _ end: Int) throws(ArchiveError) -> Int? {
        var offset = offset
        while offset < end {
            let bytes = try self.bytes(offset..<min(end, offset + 512))
            if let found = bytes.firstIndex(of: 0x0a) {
                return offset + found + 1 < end ? offset + found + 1 : nil
            }
            guard !bytes.isEmpty else { throw damaged("it became shorter") }
            offset += bytes.count
        }
        return nil
    }

    /// The line that begins at an offset.
    private func line(at start: Int, _ end: Int) throws(ArchiveError) -> [UInt8]? {
        var count = 512
        while true {
            let bytes = try self.bytes(start..<min(end, start + count))
            if let found = bytes.firstIndex(of: 0x0a) { return Array(bytes[..<found]) }
            if start + bytes.count == end { return bytes }
            guard bytes.count == count else { throw damaged("it became shorter") }
            count *= 4
        }
    }
}
