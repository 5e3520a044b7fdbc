// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Glibc
internal import JSON

/// Why a snapshot cannot be believed.
struct SnapshotFault: Error, CustomStringConvertible {
    let file: String
    let reason: String

    var description: String { "\(file): \(reason)" }
}

/// The lines of a snapshot, in bounded memory. Its calls block.
final class SnapshotLines {
    /// Longer than any line that Tally writes, but for rules; these are read whole.
    private static let lineBytesMax = 64 << 20
    private static let pieceCount = 65_536

    let path: String
    private var descriptor: Int32
    private var piece = [UInt8](repeating: 0, count: pieceCount)
    private var start = 0
    private var end = 0
    private(set) var readCount = 0

    init(_ path: String) throws(SnapshotFault) {
        self.path = path
        guard let descriptor = RegularFile.open(path, flags: O_NOFOLLOW) else {
            throw SnapshotFault(file: path, reason: RegularFile.reason)
        }
        self.descriptor = descriptor
        guard descriptor >= 0 else { throw Self.fault(path) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func fault(_ path: String) -> SnapshotFault {
        SnapshotFault(file: path, reason: String(cString: strerror(errno)))
    }

    /// The next line with its end; nil behind the last. What follows the last end is damage.
    func next() throws(SnapshotFault) -> [UInt8]? {
        var line: [UInt8] = []
        while true {
            if let stop = piece[start..<end].firstIndex(of: UInt8(ascii: "\n")) {
                line += piece[start...stop]
                start = stop + 1
                return line
            }
            line += piece[start..<end]
            guard line.count <= Self.lineBytesMax else {
                throw SnapshotFault(file: path, reason: "a line is too long")
            }
            let count = piece.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw Self.fault(path) }
            readCount += count
            (start, end) = (0, count)
            if count == 0 {
                guard line.isEmpty else {
                    throw SnapshotFault(file: path, reason: "it ends within a line")
                }
                return nil
            }
        }
    }

    /// Reads a whole file and compares its checksum.
    ///
    /// - Parameter pause: called now and then, so that others get their turn.
    static func check(
        _ path: String, pause: (_ readCount: Int) async throws -> Void
    ) async throws {
        let lines = try SnapshotLines(path)
        let digest = StreamingDigest()
        var last: [UInt8]?
        var paused = 0
        while let line = try lines.next() {
            if let last { last.withUnsafeBytes { digest.update($0) } }
            last = line
            if lines.readCount - paused >= 1 << 20 {
                try await pause(lines.readCount - paused)
                paused = lines.readCount
            }
        }
        let expected =
            Array(#""checksum":"sha256:"#.utf8) + digest.hexadecimal() + Array("\"}\n".utf8)
        guard last == expected else {
            throw SnapshotFault(file: path, reason: "its checksum is not that of what it holds")
        }
        try await pause(lines.readCount - paused)
    }
}

/// Takes a snapshot apart, piece by piece. Whether it is whole is not its concern: see
/// `SnapshotLines.check`.
final class SnapshotPieces {
    enum Piece {
        /// Some members of the file's object.
        case members(JSONValue)
        /// A member that is kept as its text: the settings, or a part of the rules.
        case text(name: String, [UInt8])
        /// The beginning of a list, one element a line.
        case list(String)
        case element(JSONValue)
    }

    let lines: SnapshotLines
    private let reader: JSONReader
    /// The text of the last piece, without the comma behind it.
    private(set) var line: [UInt8] = []
    private var isInList = false
    private var isFirst = true
    private var isAtEnd = false

    init(_ path: String) throws {
        lines = try SnapshotLines(path)
        // An act holds JSON of what it was about.
        reader = try JSONReader(limits: JSONLimits(depth: 64))
    }

    /// The next piece, which stands until the one after it is read; nil at the checksum, and from there on.
    func next() throws -> Piece? {
        if isAtEnd { return nil }
        guard var line = try lines.next()?.dropLast()[...] else {
            throw fault("it has no checksum")
        }
        if line.starts(with: #""checksum":"#.utf8) {
            isAtEnd = true
            return nil
        }
        if isInList {
            if line.elementsEqual("],".utf8) {
                isInList = false
                return try next()
            }
            if line.last == UInt8(ascii: ",") { line = line.dropLast() }
            self.line = Array(line)
            return .element(try read(self.line))
        }
        if line.last == UInt8(ascii: "["), line.count > 4 {
            isInList = true
            return .list(String(decoding: line.dropFirst().dropLast(3), as: UTF8.self))
        }
        guard line.last == UInt8(ascii: ",") else { throw fault("a line ends unexpectedly") }
        line = line.dropLast()
        self.line = Array(line)
        for name in ["settings", "prices", "limits", "credits", "alerts"] where !isFirst {
            let key = Array("\"\(name)\":".utf8)
            if line.starts(with: key) { return .text(name: name, Array(line.dropFirst(key.count))) }
        }
        let open = isFirst ? [] : [UInt8(ascii: "{")]
        isFirst = false
        return .members(try read(open + line + [UInt8(ascii: "}")]))
    }

    func fault(_ reason: String) -> SnapshotFault {
        SnapshotFault(file: lines.path, reason: reason)
    }

    private func read(_ json: [UInt8]) throws -> JSONValue {
        do {
            return try reader.read(json)
        } catch {
            throw fault("a line is not what a snapshot has: \(error)")
        }
    }
}

/// What a file is a snapshot of: its name says it, and the lists in it do.
enum SnapshotKind: String {
    case day = "a day"
    case audit = "a day of the audit log"
    case state = "the state"

    /// Of what a file holds; nil where its first list cannot be read, for which its checksum stands.
    init?(of path: String) {
        guard let pieces = try? SnapshotPieces(path) else { return nil }
        while let piece = try? pieces.next() {
            guard case .list(let name) = piece else { continue }
            switch name {
            case "hours": self = .day
            case "entries": self = .audit
            default: self = .state
            }
            return
        }
        return nil
    }
}

/// What the first line of a file says.
struct SnapshotTitle: Equatable {
    var schema: Int
    var workspace: String
    /// Empty for the state.
    var date: String
    var zone: String
    var revision: Int
    var isFinal: Bool
    var dataset: String
    var writtenAt: Timestamp

    init?(_ value: JSONValue) {
        guard let schema = value["schema"]?.integer, let workspace = value["workspace"]?.text,
            let zone = value["zone"]?.text, let revision = value["revision"]?.integer,
            let isFinal = value["final"]?.boolean, let dataset = value["dataset"]?.text,
            let written = value["written_at"]?.text.flatMap({ Timestamp($0) })
        else { return nil }
        (self.schema, self.workspace, self.zone) = (schema, workspace, zone)
        (self.revision, self.isFinal, self.dataset) = (revision, isFinal, dataset)
        date = value["date"]?.text ?? ""
        writtenAt = written
    }

    /// The title of a file.
    init(path: String) throws {
        let pieces = try SnapshotPieces(path)
        guard case .members(let value)? = try pieces.next(), let title = SnapshotTitle(value)
        else { throw pieces.fault("its first line is not that of a snapshot") }
        self = title
    }
}

/// How many events, and amounts by meter in the order of the file. Amounts are exact.
struct UsedAmounts: Equatable {
    var events = 0
    var amounts: [Meter: Int] = [:]

    init() {}

    /// Reads the members `events` and `meters`; nil when they are not there.
    init?(_ value: JSONValue) {
        guard let events = value["events"]?.integer, Self.isExact(events),
            let meters = value["meters"], meters.kind == .object
        else { return nil }
        self.events = events
        for (name, amount) in meters.members {
            guard let meter = Meter(name: name.bytes), let amount = amount.integer,
                Self.isExact(amount), amounts.updateValue(amount, forKey: meter) == nil
            else { return nil }
        }
    }

    private static func isExact(_ value: Int) -> Bool { value.magnitude < 1 << 53 }

    /// Sums of exact numbers stay below 2^63 for a thousand of them; beyond, they wrap and differ.
    mutating func add(_ other: UsedAmounts) {
        events &+= other.events
        for (meter, amount) in other.amounts { amounts[meter, default: 0] &+= amount }
    }

    /// Whether both are the same; a meter without an amount is one that is not there.
    static func == (left: UsedAmounts, right: UsedAmounts) -> Bool {
        left.differences(from: right).isEmpty
    }

    /// By name, what this one has and what the other has.
    func differences(from other: UsedAmounts) -> [(name: String, mine: Int, other: Int)] {
        var list: [(name: String, mine: Int, other: Int)] = []
        if events != other.events { list.append(("events", events, other.events)) }
        let meters = Set(amounts.keys).union(other.amounts.keys)
        for meter in meters.sorted(by: { $0.name < $1.name })
        where amounts[meter] ?? 0 != other.amounts[meter] ?? 0 {
            list.append((meter.name, amounts[meter] ?? 0, other.amounts[meter] ?? 0))
        }
        return list
    }
}
