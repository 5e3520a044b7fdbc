// SPDX-License-Identifier: Apache-2.0

public import JSON

/// The members of one limit, read and checked.
struct LimitFields: Sendable {
    let name: String
    let meter: Meter
    let window: Limit.Window
    let user: Int?
    let guest: Int?
    let id: Int?
    let since: Int?

    private static let windowNames =
        "minute, hour, day, month, lifetime, rolling (with period_s), rate (with period_s, and burst) or concurrent"

    init(_ value: JSONValue, _ field: String, isStored: Bool) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType(field, "an object") }
        var name: String?
        var meter: Meter?
        var kind: String?
        var seconds: Int?
        var burst: Int?
        var user: Int?
        var guest: Int?
        var id: Int?
        var since: Int?
        for (key, member) in value.members {
            if key == "name" {
                name = try Self.name(member, "\(field).name")
            } else if key == "meter" {
                meter = try Self.meter(member, "\(field).meter")
            } else if key == "window" {
                guard let text = member.text else {
                    throw .wrongType("\(field).window", "a string")
                }
                kind = text
            } else if key == "period_s" {
                seconds = try EventDecoder.amount(member, "\(field).period_s")
            } else if key == "burst" {
                if !member.isNull { burst = try EventDecoder.amount(member, "\(field).burst") }
            } else if key == "user" {
                if !member.isNull { user = try EventDecoder.amount(member, "\(field).user") }
            } else if key == "guest" {
                if !member.isNull { guest = try EventDecoder.amount(member, "\(field).guest") }
            } else if isStored, key == "id" {
                id = member.integer
            } else if isStored, key == "since_version" {
                since = member.integer
            } else if isStored, key == "since" {
                // An earlier build's, which went by times.
                continue
            } else {
                throw .unknownField(
                    key, of: field,
                    detail: "a limit has name, meter, window, period_s, burst, user, guest")
            }
        }
        guard let name else { throw .required("\(field).name") }
        guard let meter else { throw .required("\(field).meter") }
        guard let kind else { throw .required("\(field).window") }
        guard user != nil || guest != nil else {
            throw EventRejection(
                code: "field_required", field: "\(field).user",
                detail: "user or guest is required; the one that is left out has no limit")
        }
        self.name = name
        self.meter = meter
        self.user = user
        self.guest = guest
        self.id = id
        self.since = since
        window = try Self.window(kind, seconds, burst, field)
        try checkRate(field)
    }

    func limit(id: Int, since: Int) -> Limit {
        Limit(
            name: name, meter: meter, window: window, user: user, guest: guest, id: id, since: since
        )
    }

    private func checkRate(_ field: String) throws(EventRejection) {
        guard case .rate(_, let burst) = window else { return }
        for amount in [user, guest, burst].compactMap({ $0 }) {
            if let rejection = window.rejection(of: amount, field) { throw rejection }
        }
        if let burst, burst == 0 {
            throw EventRejection(
                code: "out_of_range", field: "\(field).burst", detail: "a burst is 1 or more")
        }
    }

    private static func window(
        _ kind: String, _ seconds: Int?, _ burst: Int?, _ field: String
    ) throws(EventRejection) -> Limit.Window {
        if kind != "rolling", kind != "rate", seconds != nil || burst != nil {
            throw EventRejection(
                code: "unexpected_field",
                field: "\(field).\(seconds != nil ? "period_s" : "burst")",
                detail: "only rolling windows and rates have a period, only rates a burst")
        }
        switch kind {
        case "minute": return .minute
        case "hour": return .hour
        case "day": return .day
        case "month": return .month
        case "lifetime": return .lifetime
        case "concurrent": return .concurrent
        case "rolling":
            guard burst == nil else {
                throw EventRejection(
                    code: "unexpected_field", field: "\(field).burst",
                    detail: "a rolling window has no burst")
            }
            // Sixty buckets of whole milliseconds.
            return .rolling(seconds: try period(seconds, 1, field))
        case "rate": return .rate(seconds: try period(seconds, 1, field), burst: burst)
        default:
            throw EventRejection(
                code: "unknown_window", field: "\(field).window",
                detail: "a window is \(windowNames)")
        }
    }

    private static func period(
        _ seconds: Int?, _ least: Int, _ field: String
    ) throws(EventRejection) -> Int {
        guard let seconds else { throw .required("\(field).period_s") }
        guard (least...LimitBook.secondsMax).contains(seconds) else {
            throw EventRejection(
                code: "out_of_range", field: "\(field).period_s",
                detail: "\(least) to \(LimitBook.secondsMax) seconds")
        }
        return seconds
    }

    private static func name(_ value: JSONValue, _ field: String) throws(EventRejection) -> String {
        guard let bytes = value.string else { throw .wrongType(field, "a string") }
        guard Limit.isName(bytes) else {
            throw EventRejection(
                code: "invalid_name", field: field,
                detail: "1 to \(Limit.nameBytesMax) of a-z, 0-9, _ and -")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func meter(_ value: JSONValue, _ field: String) throws(EventRejection) -> Meter {
        guard let bytes = value.string else { throw .wrongType(field, "a string") }
        guard let meter = Meter(name: bytes) else { throw .unknownMeter(field) }
        return meter
    }
}

extension Limit.Window {
    /// Why an amount is too large for the window. A rate's level is counted in amount times
    /// milliseconds, which has to stay exact.
    func rejection(of amount: Int, _ field: String) -> EventRejection? {
        guard case .rate(let seconds, _) = self,
            amount > EventBatch.exactIntegerMax / (seconds * 1000) / 2
        else { return nil }
        return EventRejection(
            code: "out_of_range", field: field,
            detail: "amount and burst of a rate times its period_s may not pass 4503599627370")
    }
}

extension Limit {
    func write(_ writer: inout JSONWriter, isStored: Bool) {
        writer.beginObject()
        writer.key("name")
        writer.string(name)
        writer.key("meter")
        writer.string(meter.name)
        window.write(&writer)
        writer.key("user")
        if let user { writer.integer(user) } else { writer.null() }
        writer.key("guest")
        if let guest { writer.integer(guest) } else { writer.null() }
        if isStored {
            writer.key("id")
            writer.integer(id)
            writer.key("since_version")
            writer.integer(since)
        }
        writer.endObject()
    }
}

extension Limit.Window {
    /// Writes `window`, and where they are said `period_s` and `burst`.
    public func write(_ writer: inout JSONWriter) {
        writer.key("window")
        switch self {
        case .minute: writer.string("minute" as StaticString)
        case .hour: writer.string("hour" as StaticString)
        case .day: writer.string("day" as StaticString)
        case .month: writer.string("month" as StaticString)
        case .lifetime: writer.string("lifetime" as StaticString)
        case .concurrent: writer.string("concurrent" as StaticString)
        case .rolling(let seconds):
            writer.string("rolling" as StaticString)
            writer.key("period_s")
            writer.integer(seconds)
        case .rate(let seconds, let burst):
            writer.string("rate" as StaticString)
            writer.key("period_s")
            writer.integer(seconds)
            if let burst {
                writer.key("burst")
                writer.integer(burst)
            }
        }
    }
}
