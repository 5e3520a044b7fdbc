// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import JSON
public import Metering

/// A key that somebody calls with, as it is kept: its secret cannot be read back from it.
public struct APIKey: Sendable {
    /// What a secret begins with, so that scanners for leaked keys find it.
    static let prefix = "tally_"
    private static let idByteCount = 9
    private static let secretByteCount = 24

    public let id: String
    public let name: String
    public let role: Role
    public let workspace: WorkspaceID
    /// The `WorkspaceSettings.birth` of its workspace.
    let birth: String
    /// Whose key it is; nil but for the role `self`.
    public let subject: SubjectID?
    public let createdAt: Timestamp
    /// It is refused from then on; nil for never.
    public let expiresAt: Timestamp?
    /// SHA-256 of the secret, in hexadecimal.
    let digest: String

    /// Makes a key, and the secret that is shown this once: 192 random bits, so that a plain digest
    /// is enough to keep it.
    static func make(
        name: String, role: Role, workspace: WorkspaceID, birth: String, subject: SubjectID?,
        now: Timestamp, expiresAt: Timestamp?
    ) -> (key: APIKey, secret: String) {
        let id = hexadecimal(randomBytes(idByteCount))
        let secret = "\(prefix)\(id)_\(hexadecimal(randomBytes(secretByteCount)))"
        let key = APIKey(
            id: id, name: name, role: role, workspace: workspace, birth: birth, subject: subject,
            createdAt: now, expiresAt: expiresAt, digest: digest(of: Array(secret.utf8)))
        return (key, secret)
    }

    static func digest(of secret: [UInt8]) -> String {
        hexadecimal(secret.withUnsafeBytes { sha256($0) })
    }

    /// The id in what may be a key's secret; nil when it is none.
    static func id(in secret: [UInt8]) -> String? {
        let idCount = 2 * idByteCount
        let length = prefix.utf8.count + idCount + 1 + 2 * secretByteCount
        guard secret.count == length, secret.starts(with: prefix.utf8) else { return nil }
        let id = secret[prefix.utf8.count..<prefix.utf8.count + idCount]
        return String(validating: id, as: UTF8.self)
    }

    /// Whether it has the form of a secret, of whatever key.
    public static func isWellFormed(_ secret: [UInt8]) -> Bool { id(in: secret) != nil }

    func isSecret(_ secret: [UInt8]) -> Bool {
        Self.digest(of: secret).utf8.withContiguousStorageIfAvailable {
            areEqualSecrets(UnsafeRawBufferPointer($0), Array(digest.utf8))
        } ?? false
    }

    /// It is none of the next workspace that has the id of its own.
    func isOf(_ settings: WorkspaceSettings) -> Bool {
        workspace == settings.id && birth == settings.birth
    }

    func isValid(at now: Timestamp) -> Bool { expiresAt.map { now < $0 } ?? true }

    var principal: Principal {
        Principal(
            role: role, workspace: workspace, birth: birth, subject: subject, name: "key:\(id)")
    }

    // MARK: As it is kept

    var record: [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.key("name")
        json.string(name)
        json.key("role")
        json.string(role.rawValue)
        json.key("workspace")
        json.string(workspace.text)
        if !birth.isEmpty {
            json.key("birth")
            json.string(birth)
        }
        json.key("subject")
        if let subject { json.string(bytes: subject.id.bytes) } else { json.null() }
        json.key("created_ms")
        json.integer(createdAt.milliseconds)
        json.key("expires_ms")
        if let expiresAt { json.integer(expiresAt.milliseconds) } else { json.null() }
        json.key("sha256")
        json.string(digest)
        json.endObject()
        return json.bytes
    }

    /// Reads a record; nil when it is damaged.
    init?(id: String, record: [UInt8], _ reader: JSONReader) {
        guard let value = try? reader.read(record), value.kind == .object,
            let name = value["name"]?.text,
            let role = value["role"]?.text.flatMap({ Role(rawValue: $0) }),
            let workspace = value["workspace"]?.text.flatMap({ WorkspaceID($0) }),
            let created = value["created_ms"]?.integer, let digest = value["sha256"]?.text
        else { return nil }
        let subject = value["subject"]?.text.flatMap { SubjectID(existing: $0) }
        // A key of nobody would be for everybody's.
        guard role != .oneself || subject != nil else { return nil }
        self.init(
            id: id, name: name, role: role, workspace: workspace,
            birth: value["birth"]?.text ?? "", subject: subject,
            createdAt: Timestamp(milliseconds: created),
            expiresAt: value["expires_ms"]?.integer.map { Timestamp(milliseconds: $0) },
            digest: digest)
    }

    private init(
        id: String, name: String, role: Role, workspace: WorkspaceID, birth: String,
        subject: SubjectID?, createdAt: Timestamp, expiresAt: Timestamp?, digest: String
    ) {
        self.birth = birth
        (self.id, self.name, self.role, self.workspace) = (id, name, role, workspace)
        (self.subject, self.createdAt, self.expiresAt) = (subject, createdAt, expiresAt)
        self.digest = digest
    }
}
