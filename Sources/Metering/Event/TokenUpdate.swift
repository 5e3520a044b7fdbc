// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
public import JSON

/// Tokens that a user tells of itself.
extension UsageEvent {
    /// An event of the action `token_update`.
    ///
    /// - Parameters:
    ///   - value: `{"totalTokens": n}`, n from 1 to 2^53 - 1.
    ///   - key: what makes it count once; of this subject alone, since users know nothing of each
    ///     other's keys.
    /// - Throws: 400 `unknown_field`; 422 `field_required`, `wrong_type`, `integer_required`,
    ///   `out_of_range`.
    public init(
        tokenUpdate value: JSONValue, of subject: SubjectID, key: [UInt8]?
    ) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "a JSON object") }
        var tokens: Int?
        for (name, member) in value.members {
            guard name == "totalTokens" else {
                throw .unknownField(name, detail: "send totalTokens")
            }
            tokens = try PoolField.integer(member, "totalTokens", 1...UsageEvent.ownAmountMax)
        }
        guard let tokens else { throw .required("totalTokens") }
        self.init(
            id: key.map { Self.ownID("token_update", subject, $0) }, subject: subject,
            action: ByteString("token_update"), model: .empty, description: .empty,
            amounts: [(.tokens, tokens)])
    }

    /// What a user or a guest may say of itself in one call, 2^40: sums that all share stay far below their
    /// bound, whatever one of them sends.
    public static let ownAmountMax = 1 << 40

    /// The id of an event whose sender is no back end, out of a kind of events, its subject and a key that
    /// its sender made: two subjects' keys never meet, and nobody takes an id that a back end would give.
    public static func ownID(_ kind: String, _ subject: SubjectID, _ key: [UInt8]) -> ByteString {
        let digest = StreamingDigest()
        // The length first, so that no other subject and key are the same text.
        let text = Array("\(subject.id.bytes.count):".utf8) + subject.id.bytes + key
        text.withUnsafeBytes { digest.update($0) }
        return ByteString(bytes: Array("\(kind):".utf8) + digest.hexadecimal())
    }
}
