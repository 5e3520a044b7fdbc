// SPDX-License-Identifier: Apache-2.0

/// Makes text from outside safe to show on a terminal or in a log.
public enum Escaping {
    /// The text with everything that can steer a terminal or break a line as `\u{..}`.
    ///
    /// These are the control characters (C0, DEL and C1), the line and paragraph separators, the
    /// marks that change the direction of writing, and the byte order mark, which nobody sees.
    /// Other text stays as it is.
    public static func text(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var result = ""
        result.reserveCapacity(text.utf8.count + 16)
        append(text, to: &result)
        return result
    }

    /// A value of a line of text: in quotes if it could be taken for more than one value.
    static func field(_ value: String) -> String {
        let needsQuotes =
            value.isEmpty
            || value.utf8.contains {
                [UInt8(ascii: " "), UInt8(ascii: "="), 0x22, 0x5c].contains($0)
            }
        guard needsQuotes else { return text(value) }
        var result = "\""
        for scalar in value.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { result += "\\" }
            append(String(scalar), to: &result)
        }
        return result + "\""
    }

    /// The text as a JSON string, quotes included. Ends no line and steers no terminal.
    public static func json(_ text: String) -> String {
        var result = "\""
        result.reserveCapacity(text.utf8.count + 2)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where isUnsafe(scalar):
                // All of these stand in the basic plane: four digits are enough.
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func append(_ text: String, to result: inout String) {
        for scalar in text.unicodeScalars {
            if isUnsafe(scalar) {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x00...0x1f, 0x7f...0x9f: true
        case 0x2028, 0x2029: true
        case 0x061c, 0xfeff, 0x200e, 0x200f, 0x202a...0x202e, 0x2066...0x2069: true
        default: false
        }
    }
}
