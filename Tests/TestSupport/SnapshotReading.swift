// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// A snapshot as any program reads it, and what is wrong with it.
public struct SnapshotReading: Equatable, Sendable {
    /// How many events, and sums by meter.
    public struct Sums: Equatable, Sendable {
        public var events = 0
        public var meters: [String: Int] = [:]

        public init() {}

        init(_ object: [String: Any]) {
            events = object["events"] as? Int ?? .min
            meters = object["meters"] as? [String: Int] ?? ["?": 0]
        }

        public mutating func add(_ other: Sums, sign: Int = 1) {
            events += sign * other.events
            for (meter, amount) in other.meters {
                meters[meter, default: 0] += sign * amount
                if meters[meter] == 0 { meters[meter] = nil }
            }
        }

        public var isZero: Bool { events == 0 && meters.isEmpty }
    }

    public struct Cell: Hashable, Sendable {
        /// RFC 3339.
        public var hour: String
        public var action: String
        public var model: String

        public init(hour: String, action: String, model: String) {
            self.hour = hour
            self.action = action
            self.model = model
        }
    }

    public let text: String
    public let date: String
    public let revision: Int
    public let isFinal: Bool
    public let totals: Sums
    public private(set) var cells: [Cell: Sums] = [:]
    public private(set) var subjects: [String: Sums] = [:]
    /// Per subject its first and last time.
    public private(set) var times: [String: String] = [:]
    /// Subject and value, by meter.
    public private(set) var ranks: [String: [String]] = [:]
    /// Empty for a snapshot that is whole.
    public private(set) var problems: [String] = []

    public init(path: String) throws {
        try self.init(Data(contentsOf: URL(filePath: path)))
    }

    /// Throws when it is no JSON.
    public init(_ data: Data) throws {
        text = String(decoding: data, as: UTF8.self)
        let json = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        date = json["date"] as? String ?? ""
        revision = json["revision"] as? Int ?? -1
        isFinal = json["final"] as? Bool ?? false
        totals = Sums(
            ["events": json["events"] ?? 0, "meters": json["meters"] ?? [:]])
        let list: (String) -> [[String: Any]] = { json[$0] as? [[String: Any]] ?? [] }
        for name in ["hours", "actions", "models", "cells", "subjects"] {
            var sum = Sums()
            for item in list(name) { sum.add(Sums(item)) }
            if sum != totals { problems.append("\(name): \(sum), total \(totals)") }
        }
        for item in list("cells") {
            cells[
                Cell(
                    hour: item["hour"] as? String ?? "", action: item["action"] as? String ?? "",
                    model: item["model"] as? String ?? "")] = Sums(item)
        }
        var last: [UInt8] = []
        for item in list("subjects") {
            let id = item["subject"] as? String ?? ""
            if !last.lexicographicallyPrecedes(Array(id.utf8)) { problems.append("order: \(id)") }
            last = Array(id.utf8)
            subjects[id] = Sums(item)
            times[id] = "\(item["first"] ?? "") \(item["last"] ?? "")"
        }
        if json["subject_count"] as? Int != subjects.count { problems.append("subject_count") }
        for (meter, entries) in json["ranks"] as? [String: [[String: Any]]] ?? [:] {
            ranks[meter] = entries.map { "\($0["subject"] ?? "") \($0["value"] ?? "")" }
            let best = subjects.filter { $0.value.meters[meter] ?? 0 > 0 }.sorted {
                let (left, right) = ($0.value.meters[meter] ?? 0, $1.value.meters[meter] ?? 0)
                return left != right
                    ? left > right
                    : Array($0.key.utf8).lexicographicallyPrecedes(Array($1.key.utf8))
            }
            let expected = best.prefix(100).map { "\($0.key) \($0.value.meters[meter] ?? 0)" }
            if ranks[meter] != expected { problems.append("ranks of \(meter)") }
        }
        let sum = "sha256:" + (try Self.digest(Self.beforeLastLine(data)))
        if json["checksum"] as? String != sum { problems.append("checksum is not \(sum)") }
        if data.last != 0x0a { problems.append("no line end") }
    }

    private static func beforeLastLine(_ data: Data) -> Data {
        guard let end = data.dropLast().lastIndex(of: 0x0a) else { return Data() }
        return data[...end]
    }

    private static func digest(_ data: Data) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: data)
        try input.fileHandleForWriting.close()
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return String(text.prefix(64))
    }

    /// Changes the text of a snapshot, and makes its checksum fit.
    public static func forge(_ path: String, _ change: (String) -> String) throws {
        let text = change(try String(contentsOfFile: path, encoding: .utf8))
        var lines = text.split(separator: "\n").dropLast().map { $0 + "\n" }
        lines.append(#""checksum":"sha256:\#(try digest(Data(lines.joined().utf8)))"}"# + "\n")
        try lines.joined().write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// The snapshots below a data folder by their dates, and the names of all other files there.
    public static func all(
        in data: String, workspace: String = "default"
    ) throws -> (days: [String: SnapshotReading], others: [String]) {
        let root = "\(data)/rollups/\(workspace)"
        var days: [String: SnapshotReading] = [:]
        var others: [String] = []
        for name in FileManager.default.enumerator(atPath: root)?.compactMap({ $0 as? String })
            ?? []
        {
            let last = name.split(separator: "/").last ?? ""
            let isOfDay = name != "state.json" && !name.hasPrefix("audit/")
            if last.hasSuffix(".json"), !last.hasPrefix(".") {
                guard isOfDay else { continue }
                days[String(last.dropLast(5))] = try SnapshotReading(path: "\(root)/\(name)")
            } else if name.contains("/"), last != ".lock" {
                others.append(name)
            }
        }
        return (days, others)
    }
}
