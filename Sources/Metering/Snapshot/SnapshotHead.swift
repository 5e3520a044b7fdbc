// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import JSON

/// What the first line of a snapshot says of it.
struct SnapshotHead: Equatable {
    /// Of the format; what a later version has written is never overwritten.
    static let schema = 1

    var schema = Self.schema
    /// How many batches had changed the day.
    let revision: Int
    /// Whether late events could not come any more.
    let isFinal: Bool
    /// The name of the data in Redis that it was made of.
    let dataset: String
    /// How many lists the file has, of the state; nil for a day, and where an older version wrote it.
    private(set) var listCount: Int?
    /// What was read from a file says whose it is, and of which day.
    private(set) var workspace: String?
    private(set) var date: String?
    /// When it was begun.
    private(set) var writtenAt: Timestamp?

    init(revision: Int, isFinal: Bool, dataset: String) {
        self.revision = revision
        self.isFinal = isFinal
        self.dataset = dataset
    }

    /// The head of a file; nil when there is none, or none that is well formed.
    init?(path: String) throws(FlushError) {
        guard let bytes = try Self.beginning(of: path) else { return nil }
        self.init(line: bytes)
    }

    /// Where a file begins; nil when there is none.
    static func beginning(of path: String) throws(FlushError) -> [UInt8]? {
        guard let descriptor = RegularFile.open(path) else {
            throw .foreign("\(path): \(RegularFile.reason)")
        }
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .system("open", path)
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw .system("read", path) }
        return Array(bytes[..<count])
    }

    /// What the first line of some bytes says; nil when it is none.
    init?(line bytes: [UInt8]) {
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")), end > 1 else { return nil }
        let line = Array(bytes[..<(end - 1)]) + [UInt8(ascii: "}")]
        guard let reader = try? JSONReader(), let value = try? reader.read(line),
            let schema = value["schema"]?.integer, let revision = value["revision"]?.integer,
            let isFinal = value["final"]?.boolean, let dataset = value["dataset"]?.text
        else { return nil }
        self.init(revision: revision, isFinal: isFinal, dataset: dataset)
        self.schema = schema
        listCount = value["lists"]?.integer
        workspace = value["workspace"]?.text
        date = value["date"]?.text
        writtenAt = value["written_at"]?.string.flatMap { Timestamp($0) }
    }
}
