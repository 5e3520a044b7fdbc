// SPDX-License-Identifier: Apache-2.0

public import JSON

/// The alerts of a workspace.
public struct AlertBook: Equatable, Sendable {
    public static let countMax = 100

    /// None.
    public static let empty = AlertBook(alerts: [], nextID: 1)

    public let alerts: [Alert]
    /// The id that the next new alert gets.
    private let nextID: Int

    private init(alerts: [Alert], nextID: Int) {
        self.alerts = alerts
        self.nextID = nextID
    }

    /// Alerts as a client sent them.
    public struct Draft: Sendable {
        /// In the order that they were sent in.
        public let alerts: [Alert]

        /// Reads `{"alerts": [{"name", "on", "percent", "subject", "to"}]}`.
        ///
        /// - Throws: 400 `unknown_field`; 422 `field_required`, `wrong_type`, `out_of_range`,
        ///   `invalid_name`, `invalid_value`, `invalid_id`, `invalid_target`, `invalid_email`,
        ///   `unexpected_field`, `duplicate_alert`, `duplicate_percent`, `too_many_alerts`, and those
        ///   of amounts.
        public init(_ value: JSONValue) throws(EventRejection) {
            alerts = try AlertBook.read(value, isStored: false).alerts
        }
    }

    /// Alerts that replace others: what keeps its name, and what it watches, has told what it told.
    /// A webhook that stays keeps its secret; an alert that stays outlasts its limit.
    ///
    /// - Parameter makeSecret: makes one for an alert's id, sealed.
    /// - Throws: 422 `unknown_limit`, and what `makeSecret` throws.
    init(
        _ draft: Draft, replacing old: AlertBook, limits: LimitBook,
        makeSecret: (Int) throws -> String
    ) throws {
        var next = old.nextID
        alerts = try draft.alerts.enumerated().map { index, alert in
            let known = old.alerts.first { $0.watches(as: alert) }
            if case .limit(let name) = alert.watched, limits.index(named: name.utf8) == nil,
                known?.tells(as: alert) != true
            {
                throw EventRejection(
                    code: "unknown_limit", field: "alerts.\(index).on.limit",
                    detail: "there is no limit of this name")
            }
            if known == nil { next += 1 }
            let id = known?.id ?? next - 1
            guard case .webhook = alert.target else {
                return alert.renumbered(id, sealedSecret: nil)
            }
            let kept = known?.target == alert.target ? known?.sealedSecret : nil
            return alert.renumbered(id, sealedSecret: try kept ?? makeSecret(id))
        }
        nextID = next
    }

    /// Reads what `write(_:isStored:)` stored.
    init(stored value: JSONValue) throws(EventRejection) {
        let (alerts, next) = try Self.read(value, isStored: true)
        self.init(alerts: alerts, nextID: next)
    }

    private static func read(
        _ value: JSONValue, isStored: Bool
    ) throws(EventRejection) -> (alerts: [Alert], nextID: Int) {
        guard value.kind == .object else { throw .wrongType("", "an object with alerts") }
        var alerts: [Alert]?
        var next = 1
        for (key, member) in value.members {
            if key == "alerts" {
                alerts = try list(member, isStored: isStored)
            } else if isStored, key == "next_id" {
                next = member.integer ?? next
            } else {
                throw .unknownField(key, detail: "the body has alerts")
            }
        }
        guard let alerts else { throw .required("alerts") }
        return (alerts, next)
    }

    private static func list(
        _ value: JSONValue, isStored: Bool
    ) throws(EventRejection) -> [Alert] {
        guard value.kind == .array else { throw .wrongType("alerts", "an array") }
        guard value.count <= countMax else {
            throw EventRejection(
                code: "too_many_alerts", field: "alerts", detail: "at most \(countMax)")
        }
        var alerts: [Alert] = []
        for (index, element) in value.elements.enumerated() {
            let alert = try AlertFields(element, "alerts.\(index)", isStored: isStored).alert
            guard !alerts.contains(where: { $0.name == alert.name }) else {
                throw EventRejection(
                    code: "duplicate_alert", field: "alerts.\(index).name",
                    detail: "\(alert.name) is there twice")
            }
            alerts.append(alert)
        }
        return alerts
    }

    /// Writes the book as clients see it.
    ///
    /// - Parameter secrets: of webhooks, by the alert's name, that are shown now.
    public func write(_ writer: inout JSONWriter, secrets: [String: String] = [:]) {
        writer.beginObject()
        writer.key("alerts")
        writer.beginArray()
        for alert in alerts {
            alert.write(&writer, isStored: false, secret: secrets[alert.name])
        }
        writer.endArray()
        writer.endObject()
    }

    /// Writes it as it is stored, on one line.
    func store(_ writer: inout JSONWriter) {
        writer.beginObject()
        writer.key("alerts")
        writer.beginArray()
        for alert in alerts { alert.write(&writer, isStored: true) }
        writer.endArray()
        writer.key("next_id")
        writer.integer(nextID)
        writer.endObject()
    }

    /// Those that are neither about some subjects nor sent to some e-mail addresses, in lower case.
    func removing(about subjects: Set<ByteString>, to addresses: Set<ByteString>) -> AlertBook {
        let kept = alerts.filter { alert in
            if case .email(let address) = alert.target,
                addresses.contains(Profile.folded(ByteString(address)))
            {
                return false
            }
            return alert.subject.map { !subjects.contains($0.id) } ?? true
        }
        return AlertBook(alerts: kept, nextID: nextID)
    }

    /// An entity tag (RFC 9110, 8.8.3) that another list does not have.
    public var entityTag: String {
        var writer = JSONWriter()
        store(&writer)
        return Rules.entityTag(of: writer.bytes)
    }
}

extension AlertBook {
    /// The alerts that scripts judge as they count, and the place of what each watches: of a limit,
    /// from 1 on; 0 for the balance.
    func judged(by limits: LimitBook) -> [(alert: Alert, limit: Int)] {
        alerts.compactMap { alert in
            switch alert.watched {
            case .limit(let name): limits.index(named: name.utf8).map { (alert, $0 + 1) }
            case .balance: (alert, 0)
            case .budget: nil
            }
        }
    }
}

extension MessagePackWriter {
    /// An alert as lua/include/alert_fields.lua has it.
    func alert(_ alert: Alert, limit: Int) {
        array(6)
        integer(alert.id)
        string(alert.name)
        string(alert.subject?.id.bytes ?? [])
        integer(limit)
        if case .limit(let name) = alert.watched { string(name) } else { string("") }
        integers(alert.percents)
    }
}
