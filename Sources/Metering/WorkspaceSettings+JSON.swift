// SPDX-License-Identifier: Apache-2.0

public import JSON

extension WorkspaceSettings {
    /// How many meters of a workspace may have leaderboards.
    private static let rankedCountMax = 16
    /// Members that are options of the service for the workspace `default`.
    public static let configured: Set<String> = [
        "time_zone", "ranked_meters", "idempotency_hours", "late_days", "hot_days", "events_days",
        "audit_days",
    ]

    /// Changes what the members of a JSON object name; the rest stays.
    ///
    /// - Parameter except: members that others read.
    /// - Throws: what is wrong with a member. Nothing has changed then.
    public mutating func change(
        by value: JSONValue, except others: Set<String> = []
    ) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "an object") }
        var changed = self
        for (key, member) in value.members where !others.contains(key.text) {
            try changed.set(key.text, member)
        }
        self = changed
    }

    private mutating func set(_ name: String, _ value: JSONValue) throws(EventRejection) {
        switch name {
        case "time_zone":
            guard let calendar = WorkspaceCalendar(zone: try Self.text(value, name)) else {
                throw Self.invalid(name, "an IANA name such as Europe/Berlin or UTC")
            }
            self.calendar = calendar
        case "currency":
            let text = try Self.text(value, name)
            guard text.utf8.count == 3, text.utf8.allSatisfy({ (0x41...0x5a).contains($0) }) else {
                throw Self.invalid(name, "three capital letters, such as EUR")
            }
            currency = text
        case "count":
            guard let policy = CountPolicy(rawValue: try Self.text(value, name)) else {
                throw Self.invalid(name, "all or registered")
            }
            counts = policy
        case "guests":
            guard let flag = value.boolean else { throw .wrongType(name, "true or false") }
            guests = flag
        case "ranked_meters": rankedMeters = try Self.meters(value, name)
        case "idempotency_hours":
            idempotencyWindowMS = try Self.number(value, name, 1...840) * 3_600_000
        case "late_days": lateMS = try Self.number(value, name, 0...35) * 86_400_000
        case "hot_days": hotDays = try Self.number(value, name, 2...400)
        case "events_days": eventsDays = try Self.number(value, name, 1...400)
        case "audit_days": auditDays = try Self.number(value, name, 1...3650)
        default:
            throw EventRejection(
                code: "unknown_field", field: name,
                detail: "a workspace has time_zone, currency, count, guests, month_reset, "
                    + "ranked_meters, idempotency_hours, late_days, hot_days, events_days, "
                    + "audit_days")
        }
    }

    /// Writes the members that `change(by:)` reads.
    public func write(_ json: inout JSONWriter) {
        json.key("time_zone")
        json.string(calendar.zone)
        json.key("currency")
        json.string(currency)
        json.key("count")
        json.string(counts.rawValue)
        json.key("guests")
        json.boolean(guests)
        json.key("ranked_meters")
        json.beginArray()
        for meter in rankedMeters { json.string(meter.name) }
        json.endArray()
        json.key("idempotency_hours")
        json.integer(idempotencyWindowMS / 3_600_000)
        json.key("late_days")
        json.integer(lateMS / 86_400_000)
        json.key("hot_days")
        json.integer(hotDays)
        json.key("events_days")
        json.integer(eventsDays)
        json.key("audit_days")
        json.integer(auditDays)
    }

    /// As the directory keeps them.
    public var entry: [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        if !birth.isEmpty {
            json.key("birth")
            json.string(birth)
        }
        if let takenAt {
            json.key("taken_ms")
            json.integer(takenAt.milliseconds)
        }
        write(&json)
        json.endObject()
        return json.bytes
    }

    /// The settings that an entry of the directory holds; nil when it is damaged. What an entry does
    /// not name is as in `defaults`.
    public init?(
        _ id: WorkspaceID, entry: [UInt8], defaults: WorkspaceSettings = WorkspaceSettings()
    ) {
        guard let reader = try? JSONReader(), let value = try? reader.read(entry) else {
            return nil
        }
        var settings = defaults
        settings.id = id
        settings.birth = id == .default ? "" : value["birth"]?.text ?? ""
        guard Self.isBirth(settings.birth) else { return nil }
        settings.takenAt = nil
        if id != .default, let taken = value["taken_ms"] {
            guard let time = taken.integer else { return nil }
            settings.takenAt = Timestamp(milliseconds: time)
        }
        // Of `default` the configuration of the process says these, each time that it starts.
        let own: Set = ["birth", "taken_ms"]
        let others = id == .default ? Self.configured.union(own) : own
        guard (try? settings.change(by: value, except: others)) != nil else { return nil }
        self = settings
    }

    /// Whether it may stand in the names of keys, and in patterns that are looked for.
    private static func isBirth(_ text: String) -> Bool {
        text.utf8.count <= 13
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
            }
    }

    private static func text(
        _ value: JSONValue, _ name: String
    ) throws(EventRejection) -> String {
        guard let text = value.text else { throw .wrongType(name, "a string") }
        return text
    }

    private static func number(
        _ value: JSONValue, _ name: String, _ range: ClosedRange<Int>
    ) throws(EventRejection) -> Int {
        guard let number = value.integer, range.contains(number) else {
            throw invalid(name, "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private static func meters(
        _ value: JSONValue, _ name: String
    ) throws(EventRejection) -> [Meter] {
        guard value.kind == .array, value.count <= rankedCountMax else {
            throw invalid(name, "a list of at most \(rankedCountMax) meters")
        }
        var meters: [Meter] = []
        for element in value.elements {
            guard let text = element.text, let meter = Meter(name: Array(text.utf8)) else {
                throw invalid(name, "meters are [a-z][a-z0-9_]{0,63}")
            }
            if !meters.contains(meter) { meters.append(meter) }
        }
        return meters
    }

    private static func invalid(_ name: String, _ detail: String) -> EventRejection {
        EventRejection(code: "invalid_value", field: name, detail: detail)
    }
}
