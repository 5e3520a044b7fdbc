// SPDX-License-Identifier: Apache-2.0

public import JSON

/// A key that is to come into a pool.
public struct PoolKeyDraft: Sendable {
    /// The most rows of one import.
    public static let countMax = 10_000
    static let secretBytesMax = 1024
    static let nameBytesMax = 256

    let name: [UInt8]
    let secret: [UInt8]
    let status: PoolKey.Status
    let creditBalance: Int?

    /// Reads `{"name", "secret", "credit_balance"?, "status"?}`.
    ///
    /// - Throws: 400 `unknown_field`; 422 `field_required`, `wrong_type`, `invalid_text`,
    ///   `integer_required`, `out_of_range`, `unknown_status`.
    public init(_ value: JSONValue) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "a key is a JSON object") }
        var change = PoolKeyChange()
        var secret: [UInt8]?
        for (key, member) in value.members {
            if key == "secret" {
                secret = try PoolField.text(member, "secret", Self.secretBytesMax)
            } else if key == "name" || key == "credit_balance" || key == "status" {
                try change.take(key, member)
            } else {
                throw .unknownField(
                    key, detail: "a key has name, secret, credit_balance and status")
            }
        }
        guard let name = change.name else { throw .required("name") }
        guard let secret else { throw .required("secret") }
        self.name = name
        self.secret = secret
        status = change.status ?? .active
        creditBalance = change.creditBalance ?? nil
    }

    /// Reads the cells of a row: an empty balance is an unknown one, an empty status `active`.
    ///
    /// - Throws: as `init(_:)`.
    public init(
        name: String, secret: String, creditBalance: String, status: String
    ) throws(EventRejection) {
        self.name = try PoolField.text(Array(name.utf8), "name", Self.nameBytesMax)
        self.secret = try PoolField.text(Array(secret.utf8), "secret", Self.secretBytesMax)
        self.status = status.isEmpty ? .active : try PoolField.status(status.utf8)
        self.creditBalance = creditBalance.isEmpty ? nil : try PoolField.balance(creditBalance)
    }
}

/// What is to change of a key; nil stays as it is.
public struct PoolKeyChange: Sendable {
    static let errorCharactersMax = 1000

    var name: [UInt8]?
    var status: PoolKey.Status?
    /// Nil in it: not known.
    var creditBalance: Int??
    /// Empty: none.
    var lastError: [UInt8]?
    /// Whether its holder is to give it back.
    var isUnassigned = false

    init() {}

    /// A key that nobody holds any more.
    public static var unassigned: PoolKeyChange {
        var change = PoolKeyChange()
        change.isUnassigned = true
        return change
    }

    /// A key whose holder is erased: what its tool said may name it.
    static var erased: PoolKeyChange {
        var change = unassigned
        change.lastError = []
        return change
    }

    /// Reads `{"name"?, "status"?, "credit_balance"?}`, at least one of them.
    ///
    /// - Throws: 400 `unknown_field`; 422 as `PoolKeyDraft`.
    public init(_ value: JSONValue) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "a JSON object") }
        guard value.count > 0 else {
            throw EventRejection(
                code: "field_required", field: "", detail: "name, status or credit_balance")
        }
        for (key, member) in value.members {
            guard key == "name" || key == "status" || key == "credit_balance" else {
                throw .unknownField(key, detail: "send name, status or credit_balance")
            }
            try take(key, member)
        }
    }

    mutating func take(_ key: JSONKey, _ value: JSONValue) throws(EventRejection) {
        if key == "name" {
            name = try PoolField.text(value, "name", PoolKeyDraft.nameBytesMax)
        } else if key == "status" {
            guard let text = value.string else { throw .wrongType("status", "a string") }
            status = try PoolField.status(text)
        } else if key == "credit_balance" {
            creditBalance = .some(value.isNull ? nil : try PoolField.balance(value))
        } else if key == "error_message" {
            guard !value.isNull else { return lastError = [] }
            guard let text = value.text else { throw .wrongType("error_message", "a string") }
            lastError = Array(text.prefix(Self.errorCharactersMax).utf8)
        }
    }
}

/// What a tool tells of a key that it used.
public struct PoolReport: Sendable {
    public let keyID: Int
    let change: PoolKeyChange

    /// Reads `{"key_id", "status", "credit_balance"?, "error_message"?}`. What is missing stays as it
    /// is; null takes it away. Of a message, the first 1,000 characters are kept.
    ///
    /// - Throws: 400 `unknown_field`; 422 `field_required`, `wrong_type`, `integer_required`,
    ///   `out_of_range`, `unknown_status`.
    public init(_ value: JSONValue) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "a JSON object") }
        var id: Int?
        var change = PoolKeyChange()
        for (key, member) in value.members {
            if key == "key_id" {
                id = try PoolField.integer(member, "key_id", 1...PoolKey.idMax)
            } else if key == "status" || key == "credit_balance" || key == "error_message" {
                try change.take(key, member)
            } else {
                throw .unknownField(
                    key, detail: "a report has key_id, status, credit_balance and error_message")
            }
        }
        guard let id else { throw .required("key_id") }
        guard change.status != nil else { throw .required("status") }
        keyID = id
        self.change = change
    }
}

/// Who is to get how many keys.
public struct PoolAssignment: Sendable {
    /// The most keys that one call hands out, in one atomic step.
    public static let quantityMax = 1000

    public let subject: SubjectID
    public let quantity: Int

    /// Reads `{"user_id", "quantity"}`. An id that is a number is that of its digits.
    ///
    /// - Throws: 400 `unknown_field`; 422 `field_required`, `wrong_type`, `invalid_id`,
    ///   `integer_required`, `out_of_range` (a quantity is 1 to 1,000).
    public init(_ value: JSONValue) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "a JSON object") }
        var subject: SubjectID?
        var quantity: Int?
        for (key, member) in value.members {
            if key == "user_id" {
                subject = try PoolField.subject(member, "user_id")
            } else if key == "quantity" {
                quantity = try PoolField.integer(member, "quantity", 1...Self.quantityMax)
            } else {
                throw .unknownField(key, detail: "send user_id and quantity")
            }
        }
        guard let subject else { throw .required("user_id") }
        guard let quantity else { throw .required("quantity") }
        self.subject = subject
        self.quantity = quantity
    }
}

/// Reads `{"threshold"}`: what balances have to be above for a key to be handed out.
///
/// - Returns: 0 to 2^53 - 1.
/// - Throws: 400 `unknown_field`; 422 `field_required`, `integer_required`, `out_of_range`.
public func poolThreshold(_ value: JSONValue) throws(EventRejection) -> Int {
    guard value.kind == .object else { throw .wrongType("", "a JSON object") }
    var threshold: Int?
    for (key, member) in value.members {
        guard key == "threshold" else { throw .unknownField(key, detail: "send threshold") }
        threshold = try PoolField.integer(member, "threshold", 0...EventBatch.exactIntegerMax)
    }
    guard let threshold else { throw .required("threshold") }
    return threshold
}
