// SPDX-License-Identifier: Apache-2.0
//
// A day may have a million subjects. Their lines are taken apart as Tally writes them, without
// making anything but what is told; a line that is written in any other way, such as one with an
// escape, goes to the reader of JSON.

internal import Glibc
internal import JSON

/// Reads what stands in a snapshot's lines.
final class ArchiveLineReader {
    private let json: JSONReader
    /// Actions and models that came, each once: cells share them.
    private var labels: Set<ByteString> = []
    /// The meters that came, in the order in which they come in the lines.
    private var meters: [(name: [UInt8], meter: Meter)] = []
    /// Where the next meter probably stands.
    private var nextMeter = 0

    init() throws(JSONError) { json = try JSONReader() }

    /// A line that is an object, with or without the comma behind it.
    func object(_ line: UnsafeBufferPointer<UInt8>) -> JSONValue? {
        let line = Self.withoutComma(line)
        return try? json.read(UnsafeRawBufferPointer(line))
    }

    /// The members on a line, which are an object's with braces around them.
    func members(_ line: UnsafeBufferPointer<UInt8>) -> JSONValue? {
        var line = Array(Self.withoutComma(line))
        if line.first != UInt8(ascii: "{") { line.insert(UInt8(ascii: "{"), at: 0) }
        return try? json.read(line + [UInt8(ascii: "}")])
    }

    private static func withoutComma(
        _ line: UnsafeBufferPointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8> {
        line.last == UInt8(ascii: ",") ? UnsafeBufferPointer(rebasing: line.dropLast()) : line
    }

    /// Whether a line's subject is before (< 0), after (> 0) or equal to an id; nil when the line is
    /// none of a subject.
    func order(_ line: UnsafeBufferPointer<UInt8>, _ id: [UInt8]) -> Int? {
        var scanner = LineScanner(line)
        if scanner.take(UInt8(ascii: "{")), scanner.string()?.isText("subject") == true,
            scanner.take(UInt8(ascii: ":")), let subject = scanner.string()
        {
            return Self.compare(subject, id)
        }
        return object(line)?["subject"]?.string.map { Self.compare($0, id) }
    }

    private static func compare(_ left: UnsafeBufferPointer<UInt8>, _ right: [UInt8]) -> Int {
        let count = min(left.count, right.count)
        let difference = left.baseAddress.map { memcmp($0, right, count) } ?? 0
        return difference == 0 ? left.count - right.count : Int(difference)
    }

    /// What a line of `subjects` says; nil when it is none.
    func subject(_ line: UnsafeBufferPointer<UInt8>) -> ArchivedSubject? {
        nextMeter = 0
        var scanner = LineScanner(Self.withoutComma(line))
        if let subject = scan(&scanner), scanner.isAtEnd, !subject.subject.bytes.isEmpty {
            return subject
        }
        guard let object = object(line), let name = object["subject"]?.string,
            let sums = sums(object)
        else { return nil }
        var subject = ArchivedSubject(subject: ByteString(name), sums: sums)
        if let hours = object["hours"] {
            guard let mask = hours.integer,
                let first = object["first"]?.string.flatMap({ Timestamp($0) }),
                let last = object["last"]?.string.flatMap({ Timestamp($0) })
            else { return nil }
            (subject.hours, subject.first, subject.last) = (mask, first, last)
        }
        return subject
    }

    private func scan(_ scanner: inout LineScanner) -> ArchivedSubject? {
        var subject = ArchivedSubject()
        guard scanner.take(UInt8(ascii: "{")) else { return nil }
        repeat {
            guard let key = scanner.string(), scanner.take(UInt8(ascii: ":")) else { return nil }
            if key.isText("subject"), let name = scanner.string() {
                subject.subject = ByteString(name)
            } else if key.isText("events"), let events = scanner.integer() {
                subject.sums.events = events
            } else if key.isText("meters"), scanAmounts(&scanner, &subject.sums) {
                continue
            } else if key.isText("first"), let time = scanner.string().flatMap({ Timestamp($0) }) {
                subject.first = time
            } else if key.isText("last"), let time = scanner.string().flatMap({ Timestamp($0) }) {
                subject.last = time
            } else if key.isText("hours"), let hours = scanner.integer() {
                subject.hours = hours
            } else {
                return nil
            }
        } while scanner.take(UInt8(ascii: ","))
        return scanner.take(UInt8(ascii: "}")) ? subject : nil
    }

    private func scanAmounts(_ scanner: inout LineScanner, _ sums: inout ArchivedSums) -> Bool {
        guard scanner.take(UInt8(ascii: "{")) else { return false }
        if scanner.take(UInt8(ascii: "}")) { return true }
        sums.amounts.reserveCapacity(meters.count)
        repeat {
            guard let name = scanner.string(), scanner.take(UInt8(ascii: ":")),
                let amount = scanner.integer(), let meter = meter(name)
            else { return false }
            sums.amounts.append((meter, amount))
        } while scanner.take(UInt8(ascii: ","))
        return scanner.take(UInt8(ascii: "}"))
    }

    /// The members `events` and `meters` of an object.
    func sums(_ object: JSONValue) -> ArchivedSums? {
        guard let events = object["events"]?.integer, let meters = object["meters"],
            meters.kind == .object
        else { return nil }
        var sums = ArchivedSums(events: events)
        for (key, value) in meters.members {
            guard let meter = meter(key.bytes), let amount = value.integer else { return nil }
            sums.amounts.append((meter, amount))
        }
        return sums
    }

    /// The text of a string, shared with those before it.
    func label(_ value: JSONValue?) -> ByteString? {
        guard let label = value?.string.map({ ByteString($0) }) else { return nil }
        if labels.count > 1000 { labels = [] }
        return labels.insert(label).memberAfterInsert
    }

    /// A meter by its name: mostly the one behind the last.
    func meter(_ name: UnsafeBufferPointer<UInt8>) -> Meter? {
        for step in meters.indices {
            let index = (nextMeter + step) % meters.count
            if Self.compare(name, meters[index].name) == 0 {
                nextMeter = index + 1
                return meters[index].meter
            }
        }
        guard let meter = Meter(name: name) else { return nil }
        if meters.count < 256 { meters.append((Array(name), meter)) }
        return meter
    }
}

/// Takes a line apart from its front.
private struct LineScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var index = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    mutating func take(_ byte: UInt8) -> Bool {
        guard index < bytes.count, bytes[index] == byte else { return false }
        index += 1
        return true
    }

    /// The bytes of a string; nil when it has escapes.
    mutating func string() -> UnsafeBufferPointer<UInt8>? {
        guard take(UInt8(ascii: "\"")), let base = bytes.baseAddress,
            let end = memchr(base + index, Int32(UInt8(ascii: "\"")), bytes.count - index)
        else { return nil }
        let count = UnsafeRawPointer(end) - UnsafeRawPointer(base + index)
        guard memchr(base + index, Int32(UInt8(ascii: "\\")), count) == nil else { return nil }
        defer { index += count + 1 }
        return UnsafeBufferPointer(rebasing: bytes[index..<index + count])
    }

    mutating func integer() -> Int? {
        let isNegative = take(UInt8(ascii: "-"))
        let start = index
        var value = 0
        while index < bytes.count, case let digit = bytes[index] &- UInt8(ascii: "0"), digit < 10 {
            // No amount has more digits, and so many do not overflow.
            guard index - start < 18 else { return nil }
            value = value &* 10 &+ Int(digit)
            index += 1
        }
        return index == start ? nil : isNegative ? -value : value
    }
}

extension UnsafeBufferPointer<UInt8> {
    fileprivate func isText(_ text: StaticString) -> Bool { text.equals(self) }
}
