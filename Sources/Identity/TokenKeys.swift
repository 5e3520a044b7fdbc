// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
public import JSON

/// The keys that sign the tokens of other applications: a JSON Web Key Set (RFC 7517).
public struct TokenKeys: Sendable {
    /// The keys by their ids; those without one under an empty id.
    let keys: [String: [SignatureKey]]

    public static let none = TokenKeys(keys: [:])

    private init(keys: [String: [SignatureKey]]) { self.keys = keys }

    /// Reads `{"keys": [{"kty": "oct"|"RSA"|"EC", "kid", "alg", …}]}`. Keys of other kinds, curves and algorithms,
    /// and for other uses, stand in public sets, too, and are left out (RFC 7517, section 5).
    ///
    /// A set without any is empty: whoever has withdrawn them all trusts no token.
    ///
    /// - Throws: which key is wrong, and why.
    public init(_ set: JSONValue) throws(TokenKeyError) {
        guard let list = set["keys"], list.kind == .array else {
            throw TokenKeyError("the set has no list of keys")
        }
        var keys: [String: [SignatureKey]] = [:]
        for (index, key) in list.elements.enumerated() {
            if let use = key["use"]?.text, use != "sig" { continue }
            guard let read = try Self.key(key, index) else { continue }
            keys[key["kid"]?.text ?? "", default: []].append(read)
        }
        self.init(keys: keys)
    }

    /// Whether there is no key for HS256, RS256 or ES256.
    public var isEmpty: Bool { keys.isEmpty }

    /// Nil when it is none that Tally knows.
    private static func key(
        _ value: JSONValue, _ index: Int
    ) throws(TokenKeyError) -> SignatureKey? {
        func number(_ name: StaticString) throws(TokenKeyError) -> [UInt8] {
            guard let text = value[name]?.string, let bytes = base64URLDecoded(text) else {
                throw TokenKeyError("key \(index): \(name) is missing, or no base64url")
            }
            return bytes
        }
        let key: SignatureKey?
        switch value["kty"]?.text {
        case "oct":
            key = SignatureKey(secret: try number("k"))
            guard key != nil else {
                throw TokenKeyError("key \(index): a secret has 32 bytes or more")
            }
        case "RSA":
            key = SignatureKey(modulus: try number("n"), exponent: try number("e"))
            guard key != nil else {
                throw TokenKeyError("key \(index): an RSA key has 2048 bits or more")
            }
        case "EC":
            guard value["crv"]?.text == "P-256" else { return nil }
            key = SignatureKey(x: try number("x"), y: try number("y"))
        default: return nil
        }
        guard let key else { throw TokenKeyError("key \(index): no key") }
        guard value["alg"]?.text ?? key.algorithm.rawValue == key.algorithm.rawValue else {
            return nil
        }
        return key
    }

    /// The keys that a token may mean: those of its `kid`, or all when it names none.
    func keys(named id: String?) -> [SignatureKey] {
        if let id { return keys[id] ?? [] }
        return keys.values.flatMap { $0 }
    }
}

/// Why a set of keys cannot be used.
public struct TokenKeyError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
