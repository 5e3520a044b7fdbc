// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Writes the heads of answers from parts that are formatted once.
final class ResponseHead {
    private var lines: [[UInt8]] = Array(repeating: [], count: 500)
    private var date: [UInt8] = []
    private var second = -1
    /// Status line and date, as they were written last: mostly they are the same again.
    private var opening: [UInt8] = []
    private var openingCode = 0
    /// The names of fields that were written, which come from the program and are few.
    private var names: [FieldName] = []
    private static let nameCountMax = 64

    /// Brings the `Date` line up to date.
    func refresh() {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        guard time.tv_sec != second else { return }
        second = time.tv_sec
        date = Self.dateLine(second)
        openingCode = 0
    }

    /// Appends an answer up to the blank line, which is included, and its body where that is bytes.
    func append(
        _ response: HTTPResponse, to output: OutputBuffer, isHead: Bool, isHTTP10: Bool,
        closes: Bool
    ) {
        let code = response.status.code
        if code != openingCode {
            opening = line(response.status) + date
            openingCode = code
        }
        output.append(opening)
        var hasType = false
        for (name, value) in response.headers {
            let known = fieldName(name)
            hasType = hasType || known.isType
            if !known.opening.isEmpty {
                output.append(known.opening)
                append(value, to: output)
                output.append("\r\n")
            }
        }
        if closes {
            output.append("Connection: close\r\n")
        } else if isHTTP10 {
            output.append("Connection: keep-alive\r\n")
        }
        // A status that never has a body must not announce one either.
        guard code >= 200, code != 204, code != 304 else {
            output.append("\r\n")
            return
        }
        switch response.body {
        case .none:
            output.append("Content-Length: 0\r\n\r\n")
        case .bytes(let bytes):
            if !hasType {
                output.append("Content-Type: application/octet-stream\r\n")
            }
            output.append("Content-Length: ")
            output.append(bytes.count)
            output.append("\r\n\r\n")
            if !isHead { output.append(bytes) }
        case .stream:
            if !hasType {
                output.append("Content-Type: application/octet-stream\r\n")
            }
            // Before 1.1 the end of the connection is the end of the body.
            output.append(isHTTP10 ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n")
        }
    }

    private func fieldName(_ name: String) -> FieldName {
        for known in names where known.isMade(of: name) { return known }
        let new = FieldName(name)
        if names.count < Self.nameCountMax { names.append(new) }
        return new
    }

    /// Appends a value, of which no character ends its line or begins another.
    private func append(_ value: String, to output: OutputBuffer) {
        var value = value
        value.withUTF8 { bytes in
            if bytes.allSatisfy(Self.isText) {
                output.append(UnsafeRawBufferPointer(bytes))
            } else {
                output.append(bytes.filter(Self.isText))
            }
        }
    }

    private static func isText(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != 0x7f || byte == 0x09
    }

    private func line(_ status: HTTPStatus) -> [UInt8] {
        let cached = lines[status.code - 100]
        if !cached.isEmpty { return cached }
        let reason = status.reason.unicodeScalars.filter { $0.value >= 0x20 && $0.value < 0x7f }
        let line = Array(
            "HTTP/1.1 \(status.code) \(String(String.UnicodeScalarView(reason)))\r\n".utf8)
        lines[status.code - 100] = line
        return line
    }

    private static func dateLine(_ second: Int) -> [UInt8] {
        var time = time_t(second)
        var parts = tm()
        gmtime_r(&time, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        let day = "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday))"
        let year = "\(months[Int(parts.tm_mon)]) \(parts.tm_year + 1900)"
        let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return Array("Date: \(day) \(year) \(clock) GMT\r\n".utf8)
    }
}

/// The name of an answer's field as it goes out.
private struct FieldName {
    private let name: [UInt8]
    /// The name and what stands before the value; empty where the field is the server's own to
    /// write, or has no name.
    let opening: [UInt8]
    /// Whether it says what the body is.
    let isType: Bool

    init(_ name: String) {
        self.name = Array(name.utf8)
        let lowercased = name.lowercased()
        isType = lowercased == "content-type"
        let own = ["date", "connection", "content-length", "transfer-encoding"]
        let isFree = !own.contains(lowercased) && ASCII.isToken(name.utf8)
        opening = isFree ? self.name + [0x3a, 0x20] : []
    }

    /// By bytes: strings are equal to others that are written in other bytes.
    func isMade(of text: String) -> Bool {
        text.utf8.count == name.count
            && text.utf8.withContiguousStorageIfAvailable { text in
                text.baseAddress.map { memcmp($0, name, name.count) == 0 } ?? true
            } ?? false
    }
}
