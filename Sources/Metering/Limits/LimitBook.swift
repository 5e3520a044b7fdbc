// SPDX-License-Identifier: Apache-2.0

public import JSON

/// The limits of a workspace.
public struct LimitBook: Equatable, Sendable {
    public static let countMax = 100
    /// The longest rolling window or period of a rate: 31 days.
    static let secondsMax = 31 * 86_400

    public let limits: [Limit]
    /// The id that the next new limit gets.
    private let nextID: Int

    /// What the workspace `default` has until others are set: 100 files a day, 1000 MB stored and
    /// 60 minutes of processing a month for users; 5, 50 and 10 for guests.
    public static let initial = LimitBook(
        limits: [
            Limit(
                name: "files_per_day", meter: .filesUploaded, window: .day, user: 100, guest: 5,
                id: 1),
            Limit(
                name: "storage_mb", meter: .inputBytes, window: .lifetime, user: 1000 * 1_048_576,
                guest: 50 * 1_048_576, id: 2),
            Limit(
                name: "processing_minutes", meter: .processingMS, window: .month,
                user: 60 * 60_000, guest: 10 * 60_000, id: 3),
        ], nextID: 4)

    private init(limits: [Limit], nextID: Int) {
        self.limits = limits
        self.nextID = nextID
    }

    public func index(named name: some Collection<UInt8>) -> Int? {
        limits.firstIndex { $0.name.utf8.elementsEqual(name) }
    }

    /// Limits as a client sent them, before it is known which of them are new.
    public struct Draft: Sendable {
        let fields: [LimitFields]

        /// Reads `{"limits": [{"name", "meter", "window", "user", "guest"}]}`.
        ///
        /// - Throws: 400 `unknown_field`; 422 `field_required`, `wrong_type`, `out_of_range`,
        ///   `integer_required`, `unknown_meter`, `invalid_name`, `unknown_window`,
        ///   `unexpected_field`, `duplicate_limit`, `too_many_limits`.
        public init(_ value: JSONValue) throws(EventRejection) {
            fields = try LimitBook.read(value, isStored: false).fields
        }
    }

    /// Limits that replace others: what keeps name, meter and window goes on counting where it is.
    ///
    /// - Parameter version: of the rules from which on those that are new count.
    init(_ draft: Draft, replacing old: LimitBook, from version: Int) {
        var next = old.nextID
        limits = draft.fields.map { fields in
            let known = old.limits.first {
                $0.name == fields.name && $0.meter == fields.meter
                    && Self.counts($0.window, as: fields.window)
            }
            if known == nil { next += 1 }
            return fields.limit(id: known?.id ?? next - 1, since: known?.since ?? version)
        }
        nextID = next
    }

    /// Reads what `write(_:isStored:)` stored.
    init(stored value: JSONValue) throws(EventRejection) {
        let (fields, next) = try Self.read(value, isStored: true)
        limits = fields.map { $0.limit(id: $0.id ?? 0, since: $0.since ?? 0) }
        nextID = next
    }

    /// Whether counters of one window go on as those of the other.
    private static func counts(_ left: Limit.Window, as right: Limit.Window) -> Bool {
        switch (left, right) {
        case (.rate(let left, _), .rate(let right, _)): left == right
        default: left == right
        }
    }

    private static func read(
        _ value: JSONValue, isStored: Bool
    ) throws(EventRejection) -> (fields: [LimitFields], nextID: Int) {
        guard value.kind == .object else { throw .wrongType("", "an object with limits") }
        var fields: [LimitFields]?
        var next = 1
        for (key, member) in value.members {
            if key == "limits" {
                fields = try list(member, isStored: isStored)
            } else if isStored, key == "next_id" {
                next = member.integer ?? next
            } else {
                throw .unknownField(key, detail: "the body has limits")
            }
        }
        guard let fields else { throw .required("limits") }
        return (fields, next)
    }

    private static func list(
        _ value: JSONValue, isStored: Bool
    ) throws(EventRejection) -> [LimitFields] {
        guard value.kind == .array else { throw .wrongType("limits", "an array") }
        guard value.count <= countMax else {
            throw EventRejection(
                code: "too_many_limits", field: "limits", detail: "at most \(countMax)")
        }
        var fields: [LimitFields] = []
        for (index, element) in value.elements.enumerated() {
            let limit = try LimitFields(element, "limits.\(index)", isStored: isStored)
            guard !fields.contains(where: { $0.name == limit.name }) else {
                throw EventRejection(
                    code: "duplicate_limit", field: "limits.\(index).name",
                    detail: "\(limit.name) is there twice")
            }
            fields.append(limit)
        }
        return fields
    }

    /// Writes the book: as clients see it, or as it is stored, with the ids.
    public func write(_ writer: inout JSONWriter) { write(&writer, isStored: false) }

    func write(_ writer: inout JSONWriter, isStored: Bool) {
        writer.beginObject()
        writer.key("limits")
        writer.beginArray()
        for limit in limits { limit.write(&writer, isStored: isStored) }
        writer.endArray()
        if isStored {
            writer.key("next_id")
            writer.integer(nextID)
        }
        writer.endObject()
    }
}
