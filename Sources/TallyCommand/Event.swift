// SPDX-License-Identifier: Apache-2.0

internal import Observability

/// An event as the service takes it.
struct Event {
    var id: String?
    var subject: String?
    var action: String?
    var model: String?
    var time: String?
    var description: String?
    var meters: [(name: String, amount: Int)] = []
    /// Of `decimals`, as they were written.
    var sums: [(name: String, decimal: String)] = []

    /// The members of an event that are amounts and no meters.
    static let decimals: Set = ["credits", "api_cost"]

    /// The member of an event that holds the amounts.
    static let metersKey = "meters"

    /// One line of JSON.
    var json: String {
        let texts = [
            ("id", id), ("subject", subject), ("action", action), ("model", model),
            ("time", time), ("description", description),
        ]
        var members = texts.compactMap { name, value in
            value.map { "\"\(name)\":\(Escaping.json($0))" }
        }
        members += sums.map { "\"\($0.name)\":\(Escaping.json($0.decimal))" }
        // An event needs either.
        guard !meters.isEmpty || sums.isEmpty else { return "{\(members.joined(separator: ","))}" }
        let amounts = meters.map { "\(Escaping.json($0.name)):\($0.amount)" }
        members.append("\"\(Self.metersKey)\":{\(amounts.joined(separator: ","))}")
        return "{\(members.joined(separator: ","))}"
    }

    /// A time as RFC 3339. A time without a zone is UTC.
    ///
    /// Only the form is checked, the service knows the calendar. Digits beyond nanoseconds are cut.
    /// Byte by byte, since this runs for each line of an import and a regular expression takes a
    /// hundred times as long.
    static func time(_ text: String) -> String? {
        var bytes = Array(text.utf8)[...]
        guard let moment = take(&bytes, "0000-00-00T00:00:00") else { return nil }
        var fraction = ""
        if bytes.first == UInt8(ascii: ".") || bytes.first == UInt8(ascii: ",") {
            let digits = bytes.dropFirst().prefix { (0x30...0x39).contains($0) }
            guard (1...18).contains(digits.count) else { return nil }
            bytes = bytes.dropFirst(1 + digits.count)
            fraction = "." + String(decoding: digits.prefix(9), as: UTF8.self)
        }
        if bytes.isEmpty { return "\(moment)\(fraction)Z" }
        if bytes.first == UInt8(ascii: " ") { bytes = bytes.dropFirst() }
        for form in ["Z", "+00:00", "-00:00"] {
            if let zone = take(&bytes, form), bytes.isEmpty { return "\(moment)\(fraction)\(zone)" }
        }
        return nil
    }

    /// The start of the bytes, if it has the form: a 0 stands for any digit, T for a T or a space,
    /// and letters for either case.
    private static func take(_ bytes: inout ArraySlice<UInt8>, _ form: String) -> String? {
        guard bytes.count >= form.utf8.count else { return nil }
        var taken: [UInt8] = []
        for (byte, wanted) in zip(bytes, form.utf8) {
            let isFitting =
                switch wanted {
                case UInt8(ascii: "0"): (0x30...0x39).contains(byte)
                case UInt8(ascii: "T"): byte == wanted || byte == 0x74 || byte == 0x20
                case UInt8(ascii: "Z"): byte == wanted || byte == 0x7a
                default: byte == wanted
                }
            guard isFitting else { return nil }
            taken.append(wanted == UInt8(ascii: "0") ? byte : wanted)
        }
        bytes = bytes.dropFirst(taken.count)
        return String(decoding: taken, as: UTF8.self)
    }
}
