// SPDX-License-Identifier: Apache-2.0
//
// A profile as a line of a snapshot: see docs/snapshots.md. Times are milliseconds since 1970.

internal import JSON

extension Profile {
    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject.id.bytes)
        json.key("kind")
        json.string(kind.name)
        json.member("username", username.bytes)
        json.member("email", email.bytes)
        json.member("full_name", fullName.bytes)
        json.member("phone", phone.bytes)
        json.member("role", role.bytes)
        json.key("active")
        json.boolean(isActive)
        json.key("demo")
        json.boolean(isDemo)
        json.member("created", createdAt.milliseconds)
        json.member("updated", updatedAt.milliseconds)
        json.endObject()
    }

    /// Reads what `write` wrote; nil for anything else.
    init?(_ value: JSONValue) {
        func text(_ name: StaticString) -> ByteString? {
            value[name]?.string.map { ByteString(bytes: Array($0)) }
        }
        guard let subject = value["subject"]?.text.flatMap({ SubjectID(existing: $0) }),
            let kind = value["kind"]?.text.flatMap({ SubjectClass(name: $0) }),
            let username = text("username"), let email = text("email"),
            let fullName = text("full_name"), let phone = text("phone"), let role = text("role"),
            let active = value["active"]?.boolean, let demo = value["demo"]?.boolean,
            let created = value["created"]?.integer, let updated = value["updated"]?.integer
        else { return nil }
        self.init(subject, at: Timestamp(milliseconds: created))
        updatedAt = Timestamp(milliseconds: updated)
        (self.kind, self.role, isActive, isDemo) = (kind, role, active, demo)
        (self.username, self.email, self.fullName, self.phone) = (username, email, fullName, phone)
    }
}
