// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Writes the heads of answers from parts that are formatted once.
final class ResponseHead {
    private var lines: [[UInt8]] = Array(repeating: [], count: 500)
    private var date: [UInt8] = []
    private var second = -1

    /// Brings the `Date` line up to date.
    func refresh() {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        guard time.tv_sec != second else { return }
        second = time.tv_sec
        date = Self.dateLine(second)
    }

    /// Appends an answer up to the blank line, which is included, and its body where that is bytes.
    func append(
        _ response: HTTPResponse, to output: inout [UInt8], isHead: Bool, isHTTP10: Bool,
        closes: Bool
    ) {
        output.append(contentsOf: line(response.status))
        output.append(contentsOf: date)
        var hasType = false
        for (name, value) in response.headers {
            hasType = Self.append(name, value, to: &output) || hasType
        }
        if closes {
            Self.append("Connection: close\r\n", to: &output)
        } else if isHTTP10 {
            Self.append("Connection: keep-alive\r\n", to: &output)
        }
        // A status that never has a body must not announce one either.
        let isBodiless = response.status.code < 200 || [204, 304].contains(response.status.code)
        guard !isBodiless else {
            Self.append("\r\n", to: &output)
            return
        }
        switch response.body {
        case .none:
            Self.append("Content-Length: 0\r\n\r\n", to: &output)
        case .bytes(let bytes):
            if !hasType {
                Self.append("Content-Type: application/octet-stream\r\n", to: &output)
            }
            Self.append("Content-Length: ", to: &output)
            Self.append(bytes.count, to: &output)
            Self.append("\r\n\r\n", to: &output)
            if !isHead { output.append(contentsOf: bytes) }
        case .stream:
            if !hasType {
                Self.append("Content-Type: application/octet-stream\r\n", to: &output)
            }
            // Before 1.1 the end of the connection is the end of the body.
            Self.append(isHTTP10 ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n", to: &output)
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

    /// Appends a field unless it is the server's own; tells whether it was the content type.
    private static func append(_ name: String, _ value: String, to output: inout [UInt8]) -> Bool {
        let length = name.utf8.count
        var isType = false
        switch length {
        case 4 where name.lowercased() == "date": return false
        case 10 where name.lowercased() == "connection": return false
        case 14 where name.lowercased() == "content-length": return false
        case 17 where name.lowercased() == "transfer-encoding": return false
        case 12: isType = name == "Content-Type" || name.lowercased() == "content-type"
        default: break
        }
        guard ASCII.isToken(name.utf8) else { return false }
        output.append(contentsOf: name.utf8)
        output.append(0x3a)
        output.append(0x20)
        let start = output.count
        output.append(contentsOf: value.utf8)
        // No value ends its line or begins another.
        if output[start...].contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) {
            output.removeSubrange(start...)
            output.append(
                contentsOf: value.utf8.filter { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 })
        }
        output.append(0x0d)
        output.append(0x0a)
        return isType
    }

    static func append(_ text: StaticString, to output: inout [UInt8]) {
        output.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    static func append(_ number: Int, to output: inout [UInt8]) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            output.append(UInt8(0x30 + number / divisor % 10))
            divisor /= 10
        }
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
