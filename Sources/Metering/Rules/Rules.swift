// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import JSON
internal import Redis

/// What a workspace decides by. A version of it never changes: every batch names the version that
/// it was built by, and Redis refuses one that is not in force any more.
public final class Rules: Sendable {
    /// The version that a deletion of the workspace leaves, for ever: nothing goes by such rules.
    static let deleted = Array("deleted".utf8)
    /// Where the version is among the fields of the rules.
    static let versionField = Array("version".utf8)

    /// What Redis calls it; empty before anything was set.
    let version: [UInt8]
    /// The version as a number, which grows by one with each change; 0 before the first.
    let number: Int
    /// By which days are cut; nil where it never was another one, nor restored.
    let zone: String?
    public let prices: PriceBook
    public let limits: LimitBook
    public let credits: CreditPolicy
    public let alerts: AlertBook
    /// Those that scripts judge as they count, with the limits that they watch.
    let judgedAlerts: [(alert: Alert, limit: Int)]

    init(
        version: [UInt8] = [], zone: String? = nil, prices: PriceBook = .initial,
        limits: LimitBook = .initial,
        credits: CreditPolicy = CreditPolicy(), alerts: AlertBook = .empty
    ) {
        self.version = version
        number = Int(String(decoding: version, as: UTF8.self)) ?? 0
        self.zone = zone
        self.prices = prices
        self.limits = limits
        self.credits = credits
        self.alerts = alerts
        judgedAlerts = alerts.judged(by: limits)
    }

    /// A part of the rules, by its field in Redis. Each is replaced as a whole.
    public enum Part: String, Sendable {
        case prices, limits, credits, alerts
    }

    /// An entity tag (RFC 9110, 8.8.3) that a part has no more when it is another one.
    public func entityTag(of part: Part) -> String {
        var writer = JSONWriter()
        switch part {
        case .prices: prices.write(&writer)
        case .limits: limits.write(&writer, isStored: true)
        case .credits: credits.write(&writer)
        case .alerts: return alerts.entityTag
        }
        return Self.entityTag(of: writer.bytes)
    }

    /// The tag of a part as it is stored.
    static func entityTag(of text: [UInt8]) -> String {
        let digest = text.withUnsafeBytes { sha256($0) }
        return "\"\(hexadecimal(Array(digest.prefix(12))))\""
    }

    /// What of the rules cannot be read: nothing is counted without.
    struct Damage: Error {
        /// Its field in Redis.
        let field: String
    }

    /// Reads the hash as HGETALL gives it.
    convenience init(_ value: RedisValue, _ reader: JSONReader) throws(Damage) {
        var fields: [String: [UInt8]] = [:]
        guard let elements = value.elements else { throw Damage(field: "all") }
        for index in stride(from: 0, to: elements.count - 1, by: 2) {
            guard let name = elements[index].bytes else { throw Damage(field: "a field") }
            fields[String(decoding: name, as: UTF8.self)] = elements[index + 1].bytes
        }
        func part<Value>(
            _ part: Part, _ initial: Value, _ read: (JSONValue) throws -> Value
        ) throws(Damage) -> Value {
            guard let text = fields[part.rawValue] else { return initial }
            do { return try read(try reader.read(text)) } catch {
                throw Damage(field: part.rawValue)
            }
        }
        let version = fields["version"] ?? []
        guard
            version.isEmpty || version == Self.deleted
                || Int(String(decoding: version, as: UTF8.self)) != nil
        else { throw Damage(field: "version") }
        self.init(
            version: version,
            zone: fields["zone"].map { String(decoding: $0, as: UTF8.self) },
            prices: try part(.prices, .initial) { try PriceBook($0) },
            limits: try part(.limits, .initial) { try LimitBook(stored: $0) },
            credits: try part(.credits, CreditPolicy()) { try CreditPolicy($0) },
            alerts: try part(.alerts, .empty) { try AlertBook(stored: $0) })
    }
}
