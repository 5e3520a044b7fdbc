// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
public import JSON
public import Metering
internal import Synchronization

/// What has to hold for a token, beside its signature, and which of its claims say who calls.
public struct TokenRules: Sendable {
    /// The `iss` that is asked for; nil for any.
    public var issuer: String?
    /// What `aud` has to be or hold; nil for any.
    public var audience: String?
    /// By how much clocks may differ.
    public var leewaySeconds = 30
    public var subjectClaim = "sub"
    public var workspaceClaim = "workspace"
    public var roleClaim = "role"

    public init() {}
}

/// Verifies JSON Web Tokens (RFC 7519, in compact form), with the advice of RFC 8725: the algorithm is
/// that of the key, and `exp` has to be there. Shared by the loops.
public final class TokenVerifier: Sendable {
    /// Longer ones are refused unread.
    static let byteCountMax = 8 * 1024

    private let rules: TokenRules
    private let keys: Mutex<TokenKeys>
    private let directory: Directory
    private let clock: any Clock

    public init(
        rules: TokenRules, keys: TokenKeys, directory: Directory, clock: any Clock
    ) {
        (self.rules, self.directory, self.clock) = (rules, directory, clock)
        self.keys = Mutex(keys)
    }

    /// Puts other keys in force, as when their file has changed.
    public func replace(_ keys: TokenKeys) { self.keys.withLock { $0 = keys } }

    /// Whether it may be a token at all: three parts.
    public static func isToken(_ secret: UnsafeRawBufferPointer) -> Bool {
        secret.count { $0 == UInt8(ascii: ".") } == 2
    }

    /// What can be told of a token.
    public enum Judgement: Equatable, Sendable {
        case principal(Principal)
        /// It is signed well, and not valid here and now.
        case outOfForce
        /// It is signed well, and the settings of its workspace cannot be read.
        case damaged
        case forged
    }

    /// Whose token it is; nil when anything about it is wrong. It does not tell what.
    public func principal(of token: [UInt8], _ reader: JSONReader) -> Principal? {
        if case .principal(let principal) = judge(token, reader) { principal } else { nil }
    }

    public func judge(_ token: [UInt8], _ reader: JSONReader) -> Judgement {
        guard token.count <= Self.byteCountMax else { return .forged }
        let parts = token.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header = base64URLDecoded(parts[0]),
            let payload = base64URLDecoded(parts[1]), let signature = base64URLDecoded(parts[2]),
            isSigned(header, Array(token[..<parts[1].endIndex]), signature, reader)
        else { return .forged }
        guard let claims = try? reader.read(payload), claims.kind == .object, isInForce(claims),
            let workspace = workspace(claims)
        else { return .outOfForce }
        if directory.isDamaged(workspace) { return .damaged }
        guard isOfPresent(workspace, claims) else { return .outOfForce }
        return principal(claims, workspace).map { .principal($0) } ?? .outOfForce
    }

    private func isSigned(
        _ header: [UInt8], _ message: [UInt8], _ signature: [UInt8], _ reader: JSONReader
    ) -> Bool {
        guard let header = try? reader.read(header), header.kind == .object,
            let algorithm = header["alg"]?.text,
            // Extensions that have to be understood are not (RFC 7515, section 4.1.11).
            header["crit"] == nil
        else { return false }
        var id: String?
        if let member = header["kid"] {
            guard let text = member.text else { return false }
            id = text
        }
        return keys.withLock { $0 }.keys(named: id).contains {
            $0.algorithm.rawValue == algorithm && $0.isValid(signature, of: message)
        }
    }

    private func isInForce(_ claims: JSONValue) -> Bool {
        let now = clock.now.milliseconds / 1000
        let leeway = rules.leewaySeconds
        guard let expires = Self.seconds(claims["exp"]), now < expires + leeway else {
            return false
        }
        if let notBefore = claims["nbf"] {
            guard let begins = Self.seconds(notBefore), begins <= now + leeway else {
                return false
            }
        }
        if let issuer = rules.issuer, claims["iss"]?.text != issuer { return false }
        guard let audience = rules.audience else { return true }
        guard let named = claims["aud"] else { return false }
        if named.kind == .array { return named.elements.contains { $0.text == audience } }
        return named.text == audience
    }

    /// A time in seconds since 1970, which may have a fraction.
    private static func seconds(_ value: JSONValue?) -> Int? {
        guard let value else { return nil }
        if let whole = value.integer { return whole <= 253_402_300_799 ? whole : nil }
        guard let digits = value.number,
            let number = Double(String(decoding: digits, as: UTF8.self)),
            (0...253_402_300_799).contains(number)
        else { return nil }
        return Int(number)
    }

    /// Whether a token may be of the workspace that has the id now: one of before it was made is of that which had
    /// the id then, and so may be one that does not tell.
    private func isOfPresent(_ workspace: WorkspaceID, _ claims: JSONValue) -> Bool {
        guard let taken = directory.settings(of: workspace)?.takenAt else { return true }
        return Self.seconds(claims["iat"]).map { $0 >= taken.milliseconds / 1000 } ?? false
    }

    private func workspace(_ claims: JSONValue) -> WorkspaceID? {
        guard let named = Self.member(claims, rules.workspaceClaim) else { return .default }
        return named.text.flatMap { WorkspaceID($0) }
    }

    /// A role that Tally does not know is the least one: an end user.
    private func principal(_ claims: JSONValue, _ workspace: WorkspaceID) -> Principal? {
        guard let birth = directory.settings(of: workspace)?.birth,
            let subject = Self.member(claims, rules.subjectClaim).flatMap({ Self.subject($0) })
        else { return nil }
        let role: Role =
            switch Self.member(claims, rules.roleClaim)?.text {
            case "admin": .admin
            case "writer": .writer
            case "reader": .reader
            default: .oneself
            }
        return Principal(
            role: role, workspace: workspace, birth: birth,
            subject: role == .oneself ? subject : nil,
            name: "token:\(String(decoding: subject.id.bytes, as: UTF8.self))")
    }

    /// Ids of users are numbers in some applications.
    private static func subject(_ value: JSONValue) -> SubjectID? {
        if let text = value.text { return SubjectID(text) }
        return value.integer.flatMap { SubjectID("\($0)") }
    }

    private static func member(_ claims: JSONValue, _ name: String) -> JSONValue? {
        for (key, value) in claims.members where key.bytes.elementsEqual(name.utf8) {
            return value.isNull ? nil : value
        }
        return nil
    }
}
