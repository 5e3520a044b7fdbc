// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Observability

/// An event as it stands on a line of NDJSON, of which only that is known which it may lack.
///
/// What it lacks is put into it, and everything else is sent as it stands: numbers written anew
/// could become others.
struct EventLine {
    /// The members that an import can fill in.
    enum Member: String, CodingKey, CaseIterable {
        case id, subject, action, model
    }

    /// A member that is null counts as left out, as it does for the service.
    private struct Gaps: Decodable {
        var missing: [Member] = []
        var null: [Member] = []

        init(from decoder: any Decoder) throws {
            let members = try decoder.container(keyedBy: Member.self)
            for member in Member.allCases {
                if !members.contains(member) {
                    missing.append(member)
                } else if try members.decodeNil(forKey: member) {
                    null.append(member)
                } else {
                    _ = try members.decode(String.self, forKey: member)
                }
            }
        }
    }

    private let bytes: ArraySlice<UInt8>
    private let gaps: Gaps

    /// Nil for what is no JSON object of an event.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard let gaps = try? JSONDecoder().decode(Gaps.self, from: Data(bytes)) else { return nil }
        self.bytes = bytes
        self.gaps = gaps
    }

    /// The event with the values put in that it lacks, or nil if it is not UTF-8.
    func json(filledBy value: (Member) -> String?) -> String? {
        func filled(_ members: [Member]) -> [(member: Member, json: String)] {
            members.compactMap { member in value(member).map { (member, Escaping.json($0)) } }
        }
        // In its own place: beside a null, the service would refuse a second one of its name.
        let replaced = filled(gaps.null)
        let bytes = replaced.isEmpty ? bytes : replacing(replaced)
        guard let text = String(validating: bytes, as: UTF8.self),
            let brace = text.firstIndex(of: "{")
        else { return nil }
        let added = filled(gaps.missing).map { "\"\($0.member.rawValue)\":\($0.json)" }
        guard !added.isEmpty else { return Self.trimmed(text) }
        let rest = text[text.index(after: brace)...]
        let isEmpty = rest.first { !$0.isWhitespace } == "}"
        return "{" + added.joined(separator: ",") + (isEmpty ? "" : ",") + Self.trimmed(rest)
    }

    /// With values instead of the nulls of its own members; those of objects within it stay.
    private func replacing(_ values: [(member: Member, json: String)]) -> ArraySlice<UInt8> {
        var result: [UInt8] = []
        var depth = 0
        var name: ArraySlice<UInt8> = []
        var rest = bytes
        while let byte = rest.first {
            var token = rest.prefix(1)
            switch byte {
            case UInt8(ascii: "\""):
                token = Self.string(rest)
                name = token
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            // Of the words that stand without quotes, only null has the letter n at its start.
            case UInt8(ascii: "n"):
                token = rest.prefix(4)
                // A name may be written with escapes.
                let member = try? JSONDecoder().decode(String.self, from: Data(name))
                let value = values.first { depth == 1 && $0.member.rawValue == member }
                result += value.map { Array($0.json.utf8) } ?? Array(token)
                rest = rest.dropFirst(token.count)
                continue
            default: break
            }
            result += token
            rest = rest.dropFirst(token.count)
        }
        return result[...]
    }

    /// The string that the bytes begin with, with its quotes.
    private static func string(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var isEscaped = false
        let end = bytes.dropFirst().firstIndex { byte in
            defer { isEscaped = !isEscaped && byte == UInt8(ascii: "\\") }
            return !isEscaped && byte == UInt8(ascii: "\"")
        }
        return end.map { bytes[...$0] } ?? bytes
    }

    /// Without what follows the object, such as the CR of a file from elsewhere.
    private static func trimmed(_ text: some StringProtocol) -> String {
        var text = String(text)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
