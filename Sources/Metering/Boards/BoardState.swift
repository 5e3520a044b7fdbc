// SPDX-License-Identifier: Apache-2.0
//
// How far a board has followed the log. It is stored as bytes that scripts only compare: who wants to
// change a board says which state he has seen.

/// The state of a board.
struct BoardState: Equatable {
    private static let version = 1

    /// All up to here is in it.
    var ends: LogEnds
    /// What is being added: up to these ends, and of that all subjects up to one, by their bytes.
    var pending: (target: LogEnds, after: ByteString)?
    /// What could not be read when it was built.
    var warnings: [String] = []

    static func == (left: BoardState, right: BoardState) -> Bool {
        left.ends == right.ends && left.warnings == right.warnings
            && left.pending?.target == right.pending?.target
            && left.pending?.after == right.pending?.after
    }

    init(ends: LogEnds, warnings: [String] = []) {
        self.ends = ends
        self.warnings = warnings
    }

    init?(_ bytes: [UInt8]) {
        guard let parts = MessagePackValue(bytes)?.array, parts.count == 7,
            parts[0].integer == Self.version, let floor = parts[1].integer,
            let numbers = parts[2].integers, let its = parts[3].integer,
            let target = parts[4].integers, let after = parts[5].bytes,
            let warnings = parts[6].array?.compactMap(\.bytes), numbers.count < 10_000,
            target.count < 10_000
        else { return nil }
        ends = LogEnds(floor: floor, numbers: numbers)
        // The target may be the beginning of a day of which nothing was read.
        if !after.isEmpty {
            pending = (LogEnds(floor: its, numbers: target), ByteString(bytes: after))
        }
        self.warnings = warnings.map { String(decoding: $0, as: UTF8.self) }
    }

    func packed(_ writer: MessagePackWriter) -> [UInt8] {
        writer.array(7)
        writer.integer(Self.version)
        writer.integer(ends.floor)
        writer.integers(ends.numbers)
        writer.integer(pending?.target.floor ?? 0)
        writer.integers(pending?.target.numbers ?? [])
        writer.string(pending?.after.bytes ?? [])
        writer.array(warnings.count)
        for warning in warnings { writer.string(warning) }
        return writer.take()
    }
}
