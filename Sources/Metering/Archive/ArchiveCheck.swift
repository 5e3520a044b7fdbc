// SPDX-License-Identifier: Apache-2.0
//
// Nothing of a file is believed before its digest was compared. That reads the file once, in pieces,
// and the loop runs on between them.

internal import Cryptography
internal import Glibc

/// Where the parts of a whole snapshot are.
struct ArchiveLayout {
    /// The lines before the subjects.
    let head: Range<Int>
    /// The subjects' lines; the last one has no line end.
    let subjects: Range<Int>
    /// The line behind them.
    let tail: Range<Int>
    /// What the first line says.
    let facts: SnapshotHead
}

extension ArchiveLayout {
    private static let pieceCount = 1 << 20
    private static let digestLineCount = 86
    private static let subjectsMark = Array("\n\"subjects\":[\n".utf8)
    private static let tailMark = Array("\n],\n\"subject_count\":".utf8)

    /// Reads a file whole and compares its digest.
    init(checking file: ArchiveFile) async throws(ArchiveError) {
        let end = file.size - Self.digestLineCount
        guard end > 0 else { throw file.damaged("it is too short") }
        let digest = StreamingDigest()
        let piece = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(end, Self.pieceCount), alignment: 16)
        defer { piece.deallocate() }
        var offset = 0
        while offset < end {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: piece[..<min(piece.count, end - offset)])
            guard try file.read(at: offset, into: part) == part.count else {
                throw file.damaged("it became shorter")
            }
            digest.update(UnsafeRawBufferPointer(part))
            offset += part.count
            if offset < end { await Task.yield() }
        }
        let line = Array("\"checksum\":\"sha256:".utf8) + digest.hexadecimal() + Array("\"}\n".utf8)
        guard try file.bytes(end..<end + line.count + 1) == line else {
            throw file.damaged("its checksum does not fit")
        }
        self = try Self(of: file, end: end)
    }

    /// Finds the parts. Strings hold no line ends, so that a mark is nothing but a mark.
    private init(of file: ArchiveFile, end: Int) throws(ArchiveError) {
        guard let start = try Self.find(Self.subjectsMark, in: file, from: 0, to: end),
            let close = try Self.findLast(Self.tailMark, in: file, to: end)
        else { throw file.damaged("it has no subjects") }
        let first = start + Self.subjectsMark.count
        head = 0..<start + 1
        // Without subjects the two marks share a line end.
        subjects = first..<max(first, close)
        tail = close + 4..<end
        guard let facts = try SnapshotHead(line: file.bytes(0..<min(head.count, 4096))) else {
            throw file.damaged("its first line is none")
        }
        guard facts.schema <= SnapshotHead.schema else {
            throw file.damaged("it is of a later version of Tally")
        }
        self.facts = facts
    }

    private static func find(
        _ mark: [UInt8], in file: ArchiveFile, from: Int, to end: Int
    ) throws(ArchiveError) -> Int? {
        var offset = from
        while offset < end {
            let bytes = try file.bytes(offset..<min(end, offset + 262_144))
            if let found = bytes.firstOffset(of: mark) { return offset + found }
            guard bytes.count > mark.count else { return nil }
            offset += bytes.count - mark.count + 1
        }
        return nil
    }

    private static func findLast(
        _ mark: [UInt8], in file: ArchiveFile, to end: Int
    ) throws(ArchiveError) -> Int? {
        var count = 65_536
        while true {
            let start = max(0, end - count)
            // There is one at most.
            if let found = try file.bytes(start..<end).firstOffset(of: mark) {
                return start + found
            }
            if start == 0 { return nil }
            count *= 4
        }
    }
}

extension [UInt8] {
    /// Where a mark, which begins with a line end, begins first.
    fileprivate func firstOffset(of mark: [UInt8]) -> Int? {
        withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            var offset = 0
            while bytes.count - offset >= mark.count,
                let found = memchr(base + offset, 0x0a, bytes.count - mark.count - offset + 1)
            {
                if memcmp(found, mark, mark.count) == 0 { return UnsafeRawPointer(found) - base }
                offset = UnsafeRawPointer(found) - base + 1
            }
            return nil
        }
    }
}
