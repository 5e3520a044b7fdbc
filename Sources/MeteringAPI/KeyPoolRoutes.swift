// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// API keys of outside providers, handed out to users: docs/surfaces.md, A.
extension API {
    static let keyPoolRoutes: [Route] = [
        // Before those of providers: `keys` and `settings` may be names of some.
        Route(.get, "/api/tool/{provider}", access: .user) { try await $0.ownKeys($1) },
        Route(.post, "/api/tool/{provider}/status", access: .holder) {
            try await $0.reportKey($1)
        },
        Route(.post, "/api/{provider}/bulk-assign", access: .admin) { try await $0.assignKeys($1) },
        Route(.post, "/api/{provider}/keys/import", access: .admin) { try await $0.importKeys($1) },
        Route(.get, "/api/{provider}/keys", access: .admin) { try await $0.poolKeys($1) },
        Route(.get, "/api/{provider}/keys/{id}", access: .admin) { try await $0.poolKey($1) },
        Route(.patch, "/api/{provider}/keys/{id}", access: .admin) { try await $0.editKey($1) },
        Route(.delete, "/api/{provider}/keys/{id}", access: .admin) { try await $0.deleteKey($1) },
        Route(.post, "/api/{provider}/keys/{id}/unassign", access: .admin) {
            try await $0.unassignKey($1)
        },
        Route(.get, "/api/{provider}/settings", access: .admin) { try await $0.poolSettings($1) },
        Route(.put, "/api/{provider}/settings", access: .admin) {
            try await $0.setPoolSettings($1)
        },
        Route(.get, "/api/users", access: .admin) { try await $0.poolUsers($1) },
        Route(.get, "/api/users/{id}/stats", access: .owner) { try await $0.poolUser($1) },
    ]

    /// Whether clients of surfaces A and B call this path: they look at `success` in errors.
    static func isOfPoolClients(_ path: String) -> Bool {
        path.hasPrefix("/api/") && !path.hasPrefix("/api/v1/") && !path.hasPrefix("/api/usage/")
    }

    /// `{"user_id", "quantity"}`
    private func assignKeys(_ call: Call) async throws -> HTTPResponse {
        let provider = try provider(call)
        let assignment = try PoolAssignment(try body(of: call))
        let keys = try await back(queries.assignPoolKeys(assignment, of: provider))
        guard !keys.isEmpty else {
            throw HTTPProblem(
                .conflict, code: "no_keys_available",
                detail: "no key of \(provider.name) can be handed out")
        }
        var json = JSONWriter(capacity: 256 + 256 * keys.count)
        json.beginObject()
        json.key("success")
        json.boolean(true)
        json.key("assigned_count")
        json.integer(keys.count)
        json.key("assigned_keys")
        json.poolKeys(keys)
        json.key("message")
        // As old clients know it, also of one.
        json.string("Successfully assigned \(keys.count) keys to user")
        json.endObject()
        return .json(json.bytes)
    }

    /// `{"key_id", "status", "credit_balance", "error_message"}`
    private func reportKey(_ call: Call) async throws -> HTTPResponse {
        let provider = try provider(call)
        let report = try PoolReport(try body(of: call))
        let holder = call.principal.role == .oneself ? try ownSubject(call) : nil
        guard
            let isFirst = try await back(queries.reportPoolKey(report, of: provider, by: holder))
        else { throw HTTPProblem.noSuchKey }
        var json = JSONWriter()
        json.beginObject()
        json.key("success")
        json.boolean(true)
        json.key("message")
        json.string("Key status updated" as StaticString)
        json.key("first_use")
        json.boolean(isFirst)
        json.endObject()
        return .json(json.bytes)
    }

    private func ownKeys(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let keys = try await back(
            queries.heldPoolKeys(
                by: try ownSubject(call), of: try provider(call)))
        var json = JSONWriter(capacity: 64 + 256 * keys.count)
        json.beginObject()
        json.key("success")
        json.boolean(true)
        json.key("keys")
        json.poolKeys(keys)
        json.endObject()
        return .json(json.bytes)
    }

    private func poolKeys(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["status", "assigned", "user_id", "limit", "cursor"])
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let after = try query.integer("cursor", in: 0...PoolKey.idMax, default: 0)
        var filter = PoolKeyFilter()
        if let name = query.text("status") {
            guard let status = PoolKey.Status(name: name.utf8) else {
                throw HTTPProblem.badRequest(
                    "invalid_parameter", "status is active, dead or out_of_credit")
            }
            filter.status = status
        }
        if query.text("assigned") != nil { filter.isAssigned = try query.flag("assigned") }
        if let text = query.text("user_id") {
            guard let subject = SubjectID(existing: text) else { throw HTTPProblem.invalidSubject }
            filter.holder = subject
        }
        let page = try await back(
            queries.poolKeys(
                of: try provider(call), filter, limit: limit, after: after))
        var json = JSONWriter(capacity: 64 + 256 * page.keys.count)
        json.beginObject()
        json.key("keys")
        json.poolKeys(page.keys)
        json.key("next")
        if let next = page.next { json.string("\(next)") } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    private func poolKey(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let id = try keyID(call)
        return try Self.answer(try await back(queries.poolKey(id, of: try provider(call))))
    }

    /// `{"name"?, "status"?, "credit_balance"?}`
    private func editKey(_ call: Call) async throws -> HTTPResponse {
        let (provider, id) = (try provider(call), try keyID(call))
        let change = try PoolKeyChange(try body(of: call))
        return try Self.answer(try await back(queries.editPoolKey(id, of: provider, change)))
    }

    private func unassignKey(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        try refuseBody(call)
        let id = try keyID(call)
        return try Self.answer(
            try await back(queries.editPoolKey(id, of: try provider(call), .unassigned)))
    }

    private func deleteKey(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        try refuseBody(call)
        let id = try keyID(call)
        guard try await back(queries.deletePoolKey(id, of: try provider(call))) else {
            throw HTTPProblem.noSuchKey
        }
        return HTTPResponse(status: .noContent)
    }

    private func poolSettings(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let provider = try provider(call)
        return Self.answer(provider, threshold: try await back(queries.poolThreshold(of: provider)))
    }

    /// `{"threshold": 800}`
    private func setPoolSettings(_ call: Call) async throws -> HTTPResponse {
        let provider = try provider(call)
        let threshold = try Metering.poolThreshold(try body(of: call))
        try await back(queries.setPoolThreshold(threshold, of: provider))
        return Self.answer(provider, threshold: threshold)
    }

    private static func answer(_ provider: PoolProvider, threshold: Int) -> HTTPResponse {
        var json = JSONWriter()
        json.beginObject()
        json.key("provider")
        json.string(provider.name)
        json.key("threshold")
        json.integer(threshold)
        json.endObject()
        return .json(json.bytes)
    }

    private static func answer(_ key: PoolKeyDetail?) throws -> HTTPResponse {
        guard let key else { throw HTTPProblem.noSuchKey }
        var json = JSONWriter()
        json.poolKey(key)
        return .json(json.bytes)
    }
}

// MARK: What a request is about

extension API {
    func provider(_ call: Call) throws(HTTPProblem) -> PoolProvider {
        guard let provider = PoolProvider(call.parameters[0]) else {
            throw .unprocessable(
                "invalid_provider",
                "a provider is 1 to 32 of a-z, 0-9 and -, and not tool, user, users, usage or v1")
        }
        return provider
    }

    private func keyID(_ call: Call) throws(HTTPProblem) -> Int {
        // What is no number is the id of no key.
        guard let id = ByteString(call.parameters[1]).number, id > 0 else { throw .noSuchKey }
        return id
    }

    /// Whose key the call came with.
    func ownSubject(_ call: Call) throws(HTTPProblem) -> SubjectID {
        guard let subject = call.principal.subject else {
            throw .forbidden("this takes a key of an end user, for what is its own")
        }
        return subject
    }

    /// A call that needs no body, and could be meant for another.
    private func refuseBody(_ call: Call) throws(HTTPProblem) {
        guard call.request.body.isEmpty else {
            throw .badRequest("unexpected_body", "this call takes no body")
        }
    }
}

extension JSONWriter {
    fileprivate mutating func poolKeys(_ keys: [PoolKeyDetail]) {
        beginArray()
        for key in keys { poolKey(key) }
        endArray()
    }

    fileprivate mutating func poolKey(_ detail: PoolKeyDetail) {
        let key = detail.key
        beginObject()
        self.key("id")
        integer(key.id)
        self.key("name")
        string(bytes: key.name.bytes)
        self.key("secret")
        if let secret = detail.secret { string(secret) } else { null() }
        self.key("credit_balance")
        if let balance = key.creditBalance { integer(balance) } else { null() }
        self.key("status")
        string(key.status.name)
        self.key("assigned_user_id")
        if let holder = key.holder { subjectID(holder) } else { null() }
        self.key("last_used")
        time(key.lastUsed)
        self.key("last_error")
        text(key.lastError)
        self.key("created_at")
        string(key.created.text)
        endObject()
    }

    /// A number where the id is one, since the clients of surface A keep numbers.
    mutating func subjectID(_ subject: SubjectID) {
        if let number = subject.id.number {
            integer(number)
        } else {
            string(bytes: subject.id.bytes)
        }
    }

    mutating func text(_ text: ByteString?) {
        if let text { string(bytes: text.bytes) } else { null() }
    }
}

extension HTTPProblem {
    fileprivate static let noSuchKey = HTTPProblem(
        .notFound, code: "key_not_found", detail: "there is no such key of this provider")
}
