// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// The keys of a workspace.
extension API {
    static let keyRoutes: [Route] = [
        Route(.post, "/v1/keys", access: .admin) { try await $0.makeKey($1) },
        Route(.get, "/v1/keys", access: .admin) { try await $0.keys($1) },
        Route(.get, "/v1/keys/{key}", access: .admin) { try await $0.key($1) },
        Route(.delete, "/v1/keys/{key}", access: .admin) { try await $0.revokeKey($1) },
    ]

    private static let nameByteCountMax = 200

    /// `POST /v1/keys`: `{"role", "name", "subject"?, "workspace"?, "expires_at"?}`. The secret is
    /// in this answer and nowhere else.
    func makeKey(_ call: Call) async throws -> HTTPResponse {
        let value = try body(of: call)
        let (role, subject) = try Self.roleAndSubject(value)
        let name = try Self.text(value, "name") ?? ""
        guard name.utf8.count <= Self.nameByteCountMax else {
            throw HTTPProblem.unprocessable(
                "out_of_range", "name: at most \(Self.nameByteCountMax) bytes")
        }
        guard !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw HTTPProblem.unprocessable("invalid_text", "name: no control characters")
        }
        for (key, _) in value.members
        where !["role", "name", "subject", "workspace", "expires_at"].contains(key.text) {
            throw HTTPProblem.unprocessable(
                "unknown_field",
                "a key has role, name, subject, workspace, expires_at")
        }
        let workspace = try workspace(of: value, call)
        var expires: Timestamp?
        if let text = try Self.text(value, "expires_at") {
            guard let time = Timestamp(text), time.milliseconds > engine.now.milliseconds else {
                throw HTTPProblem.unprocessable(
                    "invalid_time", "expires_at: a time to come, as in RFC 3339")
            }
            expires = time
        }
        let made = try await store.makeKey(
            name: name, role: role, in: workspace, subject: subject, expiresAt: expires)
        var json = JSONWriter()
        json.beginObject()
        json.members(of: made.key)
        json.key("secret")
        json.string(made.secret)
        json.endObject()
        var response = HTTPResponse.json(json.bytes)
        response.status = .created
        response.headers.append((name: "Cache-Control", value: "no-store"))
        return response
    }

    private static func roleAndSubject(_ value: JSONValue) throws -> (Role, SubjectID?) {
        guard value.kind == .object else { throw EventRejection.wrongType("", "an object") }
        guard let text = try text(value, "role") else { throw EventRejection.required("role") }
        guard let role = Role(rawValue: text), role != .operator, role != .guest else {
            throw HTTPProblem.unprocessable(
                "invalid_value", "role: admin, writer, reader or self")
        }
        // Ids of users are numbers in some applications.
        let number = value["subject"]?.integer
        let name = try number.map { "\($0)" } ?? self.text(value, "subject")
        guard (name != nil) == (role == .oneself) else {
            throw HTTPProblem.unprocessable(
                "invalid_value", "subject: a key of the role self has one, others have none")
        }
        guard let name else { return (role, nil) }
        guard let subject = SubjectID(name) else { throw HTTPProblem.invalidSubject }
        if subject.isErased { throw EventRejection.reservedID }
        return (role, subject)
    }

    /// The caller's workspace; the operator may name another.
    private func workspace(of value: JSONValue, _ call: Call) throws -> WorkspaceSettings {
        let principal = call.principal
        guard let name = try Self.text(value, "workspace") else {
            return try settings(of: principal)
        }
        guard let id = WorkspaceID(name) else { throw HTTPProblem.noSuchWorkspace }
        if id == principal.workspace { return try settings(of: principal) }
        guard principal.role == .operator else { throw HTTPProblem.noSuchWorkspace }
        try store.requireReadable(id)
        guard let settings = store.directory.settings(of: id) else {
            throw HTTPProblem.noSuchWorkspace
        }
        return settings
    }

    /// - Throws: 401 when the caller's workspace has gone.
    func settings(of principal: Principal) throws(HTTPProblem) -> WorkspaceSettings {
        guard let settings = store.directory.settings(of: principal) else { throw .unknownKey }
        return settings
    }

    /// A string member; nil when it is missing or null.
    private static func text(_ value: JSONValue, _ name: StaticString) throws -> String? {
        guard let member = value[name], !member.isNull else { return nil }
        guard let text = member.text else { throw EventRejection.wrongType("\(name)", "a string") }
        return text
    }

    /// `GET /v1/keys?limit=&cursor=`: without secrets, the newest first.
    func keys(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["limit", "cursor"])
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let question = paged("keys", [])
        let cursor = try query.place(of: question) { APIKeyPosition($0) }
        let page = try await store.keys(
            of: settings(of: call.principal), limit: limit, after: cursor)
        var json = JSONWriter()
        json.beginObject()
        json.key("keys")
        json.beginArray()
        for (key, usedMS) in page.keys { json.listed(key, usedMS) }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(question.cursor(next.text)) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    /// `GET /v1/keys/{id}`: as in the list.
    func key(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        guard
            let (key, usedMS) = try await store.key(
                call.parameters[0], of: settings(of: call.principal))
        else { throw HTTPProblem.notFound("there is no such key") }
        var json = JSONWriter()
        json.listed(key, usedMS)
        return .json(json.bytes)
    }

    /// `DELETE /v1/keys/{id}`: refused within a second, everywhere.
    func revokeKey(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let own = try settings(of: call.principal)
        guard try await store.revokeKey(call.parameters[0], of: own) else {
            throw HTTPProblem.notFound("there is no such key")
        }
        return HTTPResponse(status: .noContent)
    }
}

extension JSONWriter {
    fileprivate mutating func listed(_ key: APIKey, _ usedMS: Int?) {
        beginObject()
        members(of: key)
        self.key("last_used_at")
        if let usedMS { string(Timestamp(milliseconds: usedMS).text) } else { null() }
        endObject()
    }

    fileprivate mutating func members(of key: APIKey) {
        self.key("id")
        string(key.id)
        self.key("name")
        string(key.name)
        self.key("role")
        string(key.role.rawValue)
        self.key("workspace")
        string(key.workspace.text)
        self.key("subject")
        if let subject = key.subject { string(bytes: subject.id.bytes) } else { null() }
        self.key("created_at")
        string(key.createdAt.text)
        self.key("expires_at")
        if let expiresAt = key.expiresAt { string(expiresAt.text) } else { null() }
    }
}
