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
    /// The field that was written last, for the same reason.
    private var lastField = Field(name: "", value: "")

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
            if !lastField.isMade(of: name, value) {
                lastField = Field(name: name, value: value)
            }
            output.append(lastField.line)
            hasType = hasType || lastField.isType
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

/// A field of an answer as it goes out.
private struct Field {
    private let name: [UInt8]
    private let value: [UInt8]
    /// Empty where the field is the server's own to write, or has no name.
    let line: [UInt8]
    /// Whether it says what the body is.
    let isType: Bool

    init(name: String, value: String) {
        self.name = Array(name.utf8)
        self.value = Array(value.utf8)
        let lowercased = name.lowercased()
        isType = lowercased == "content-type"
        let own = ["date", "connection", "content-length", "transfer-encoding"]
        guard !own.contains(lowercased), ASCII.isToken(name.utf8) else {
            line = []
            return
        }
        // No value ends its line or begins another.
        let text = self.value.filter { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
        line = self.name + [0x3a, 0x20] + text + [0x0d, 0x0a]
    }

    /// By bytes: strings are equal to others that are written in other bytes.
    func isMade(of name: String, _ value: String) -> Bool {
        Self.equal(name, self.name) && Self.equal(value, self.value)
    }

    private static func equal(_ text: String, _ bytes: [UInt8]) -> Bool {
        text.utf8.count == bytes.count
            && text.utf8.withContiguousStorageIfAvailable { text in
                text.baseAddress.map { memcmp($0, bytes, bytes.count) == 0 } ?? true
            } ?? false
    }
}
