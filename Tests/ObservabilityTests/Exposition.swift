// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A small strict reader of Prometheus' text format 0.0.4, written from the format's description
/// and not from the writer under test.
struct Exposition {
    struct Sample {
        var name: String
        var labels: [String: String]
        var value: Double
    }
    struct Malformed: Error {
        var line: String
        init(_ line: some StringProtocol) { self.line = String(line) }
    }

    private(set) var types: [String: String] = [:]
    private(set) var helps: [String: String] = [:]
    private(set) var samples: [Sample] = []

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Malformed("no line break at the end") }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let words = line.split(
                separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
            if words.first == "#" {
                guard words.count == 4 else { throw Malformed(line) }
                let name = String(words[2])
                if words[1] == "TYPE" {
                    guard types.updateValue(String(words[3]), forKey: name) == nil else {
                        throw Malformed(line)
                    }
                } else if words[1] == "HELP" {
                    helps[name] = String(words[3])
                } else {
                    throw Malformed(line)
                }
                continue
            }
            let sample = try Self.sample(line)
            let family = ["_bucket", "_sum", "_count"].compactMap { suffix in
                sample.name.hasSuffix(suffix) ? String(sample.name.dropLast(suffix.count)) : nil
            }
            guard ([sample.name] + family).contains(where: { types[$0] != nil }) else {
                throw Malformed(line)
            }
            samples.append(sample)
        }
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        samples.first { $0.name == name && $0.labels == labels }?.value
    }

    private static func sample(_ line: Substring) throws -> Sample {
        var rest = line
        let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "_:".contains($0)) }
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            repeat {
                rest = rest.dropFirst()
                guard let equals = rest.firstIndex(of: "=") else { throw Malformed(line) }
                let label = String(rest[..<equals])
                rest = rest[rest.index(after: equals)...]
                let value = try quoted(&rest, line)
                guard labels.updateValue(value, forKey: label) == nil else {
                    throw Malformed(line)
                }
            } while rest.first == ","
            guard rest.first == "}" else { throw Malformed(line) }
            rest = rest.dropFirst()
        }
        guard !name.isEmpty, rest.first == " ", let value = Double(rest.dropFirst()) else {
            throw Malformed(line)
        }
        return Sample(name: String(name), labels: labels, value: value)
    }

    private static func quoted(_ rest: inout Substring, _ line: Substring) throws -> String {
        guard rest.popFirst() == "\"" else { throw Malformed(line) }
        var value = ""
        while let character = rest.popFirst() {
            switch character {
            case "\"": return value
            case "\\":
                switch rest.popFirst() {
                case "n": value += "\n"
                case "\\": value += "\\"
                case "\"": value += "\""
                default: throw Malformed(line)
                }
            default: value.append(character)
            }
        }
        throw Malformed(line)
    }
}
