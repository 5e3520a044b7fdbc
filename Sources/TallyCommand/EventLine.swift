// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// An event as it stands on a line of NDJSON, of which only that is known which it may lack.
struct EventLine {
    /// The members that an import can fill in.
    enum Member: String, CaseIterable {
        case id, subject, action, model
    }

    private let event: JSONValue

    /// - Throws: why the line is no JSON that the service would read.
    init?(_ bytes: ArraySlice<UInt8>, _ reader: JSONReader) throws(JSONError) {
        event = try reader.read(Array(bytes))
        guard event.kind == .object else { return nil }
    }

    /// Whether it has an id of its own.
    var hasID: Bool { event["id"].map { !$0.isNull } ?? false }

    /// The event with the values put in that it lacks. A member that is null counts as left out, as it
    /// does for the service; all others are written as they were read, numbers digit by digit.
    func json(filledBy value: (Member) -> String?) -> String {
        var lacking = Member.allCases.compactMap { member in value(member).map { (member, $0) } }
        var json = JSONWriter()
        json.beginObject()
        for (key, member) in event.members {
            let place = lacking.firstIndex { $0.0.rawValue == key.text }
            if let place {
                if member.isNull { continue }
                lacking.remove(at: place)
            }
            json.key(bytes: Array(key.bytes))
            json.value(member)
        }
        for (member, text) in lacking {
            json.key(bytes: Array(member.rawValue.utf8))
            json.string(text)
        }
        json.endObject()
        return String(decoding: json.bytes, as: UTF8.self)
    }
}
