// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Who subjects are. What they have used is beside it; see `ReadRoutes`.
extension API {
    static let subjectRoutes: [Route] = [
        Route(.get, "/v1/subjects", access: .reader) { try await $0.listSubjects($1) },
        Route(.put, "/v1/subjects/{id}", access: .admin) { try await $0.putSubject($1) },
        Route(.patch, "/v1/subjects/{id}", access: .admin) { try await $0.changeSubject($1) },
        Route(.delete, "/v1/subjects/{id}", access: .admin) { try await $0.removeSubject($1) },
        Route(.post, "/v1/subjects/import", access: .admin) { try await $0.importSubjects($1) },
    ]

    // MARK: One

    func putSubject(_ call: Call) async throws -> HTTPResponse {
        let subject = try subject(call, at: 0)
        let change = try profileChange(try body(of: call), of: subject)
        // A profile has no entity tag: only `*` can keep it from being replaced.
        let mayReplace = call.request.headers.value(of: "if-none-match") != "*"
        return try profile(
            try await back(queries.putProfile(of: subject, change, mayReplace: mayReplace)))
    }

    /// A JSON merge patch (RFC 7396).
    func changeSubject(_ call: Call) async throws -> HTTPResponse {
        let subject = try subject(call, at: 0)
        _ = try QueryParameters(call.request.query, allowed: [])
        // As `application/json`, which `body(of:)` reads.
        let isPatch = call.request.headers.withBytes(of: "content-type") {
            $0.elementsEqual("application/merge-patch+json".utf8)
        }
        if isPatch == true { try requirePlain(call.request) }
        let value = try isPatch == true ? json.read(call.request.body) : body(of: call)
        let change = try profileChange(value, of: subject)
        return try profile(try await back(queries.changeProfile(of: subject, change)))
    }

    func removeSubject(_ call: Call) async throws -> HTTPResponse {
        let subject = try subject(call, at: 0)
        let query = try QueryParameters(call.request.query, allowed: ["erase"])
        if try query.flag("erase") { return try await erase(subject, call) }
        guard try await back(queries.removeProfile(of: subject)) else {
            throw HTTPProblem.notFound("there is no profile of this subject")
        }
        return HTTPResponse(status: .noContent, headers: [], body: .bytes([]))
    }

    private func profileChange(
        _ value: JSONValue, of subject: SubjectID
    ) throws -> ProfileChange {
        if let id = value["id"], !id.isNull {
            guard let text = id.string, text.elementsEqual(subject.id.bytes) else {
                throw HTTPProblem.unprocessable("invalid_id", "id: not the one of the path")
            }
        }
        return try ProfileChange(value)
    }

    private func profile(_ result: ProfileResult) throws -> HTTPResponse {
        let profile: Profile
        var status = HTTPStatus.ok
        switch result {
        case .created(let new): (profile, status) = (new, .created)
        case .updated(let its), .unchanged(let its): profile = its
        case .rejected(let rejection): throw rejection
        }
        var json = JSONWriter()
        json.profile(profile)
        var response = HTTPResponse.json(json.bytes)
        response.status = status
        return response
    }

    // MARK: Many

    private static let filters = [
        "kind", "role", "active", "demo", "q", "inactive_since", "email", "phone",
    ]

    func listSubjects(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: Self.filters + ["sort", "limit", "cursor", "include"])
        let parts = try figures(query, call)
        let page = try await profiles(query)
        let figures = try await back(queries.figures(of: page.profiles.map(\.subject), parts))
        var json = JSONWriter()
        json.beginObject()
        json.key("subjects")
        json.beginArray()
        for (profile, figures) in zip(page.profiles, figures) {
            json.profile(profile, figures, parts)
        }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(next) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    /// A page in the order that `sort` names: a field of profiles, with a minus for backwards, or a minus and a
    /// meter that is ranked.
    private func profiles(
        _ query: QueryParameters
    ) async throws -> (profiles: [Profile], next: String?) {
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let filter = try profileFilter(query)
        let sort = query.text("sort") ?? "id"
        let question = paged("subjects", [sort] + Self.filters.map { query.text($0) })
        if sort.hasPrefix("-"), let meter = Meter(name: Array(sort.utf8.dropFirst())),
            engine.reader.isRanked(meter)
        {
            let cursor = try query.place(of: question) { UsageCursor($0) }
            let page = try await back(
                queries.profiles(filter, byMost: meter, limit: limit, after: cursor))
            return (page.profiles, page.next.map { question.cursor($0.text) })
        }
        let isDescending = sort.hasPrefix("-")
        guard let order = ProfileOrder(rawValue: String(sort.dropFirst(isDescending ? 1 : 0)))
        else {
            throw HTTPProblem.badRequest(
                "invalid_parameter",
                "sort is id, email, username, created_at, these with a minus, or a minus and a "
                    + "meter with leaderboards")
        }
        let cursor = try query.place(of: question) {
            ProfileCursor($0, of: order, isDescending: isDescending)
        }
        let page = try await back(
            queries.profiles(
                filter, by: order, isDescending: isDescending, limit: limit, after: cursor))
        return (page.profiles, page.next.map { question.cursor($0.text) })
    }

    /// What `include` names; of keys only administrators are told, as by `/api/users`.
    private func figures(
        _ query: QueryParameters, _ call: Call
    ) throws(HTTPProblem) -> Set<SubjectFigures.Part> {
        guard let text = query.text("include") else { return [] }
        let names = text.split(separator: ",", omittingEmptySubsequences: false)
        let parts = names.compactMap { SubjectFigures.Part(rawValue: String($0)) }
        guard parts.count == names.count else {
            throw .badRequest("invalid_parameter", "include is usage, keys, or usage,keys")
        }
        guard !parts.contains(.keys) || Access.admin.includes(call.principal.role) else {
            throw .forbidden(to: .admin)
        }
        return Set(parts)
    }

    private func profileFilter(_ query: QueryParameters) throws(HTTPProblem) -> ProfileFilter {
        func flag(_ name: String) throws(HTTPProblem) -> Bool? {
            query.text(name) == nil ? nil : try query.flag(name)
        }
        func text(_ name: String) throws(HTTPProblem) -> String? {
            guard let text = query.text(name) else { return nil }
            guard (1...256).contains(text.utf8.count) else {
                throw .badRequest("invalid_parameter", "\(name) has 1 to 256 bytes")
            }
            return text
        }
        var filter = ProfileFilter()
        if let name = query.text("kind") {
            filter.kind = SubjectClass(name: name)
            guard filter.kind != nil else {
                throw .badRequest("invalid_parameter", "kind is user or guest")
            }
        }
        if let time = query.text("inactive_since") {
            filter.inactiveSince = Timestamp(time)
            guard filter.inactiveSince != nil else {
                throw .badRequest(
                    "invalid_parameter",
                    "inactive_since is an instant such as 2026-11-21T10:00:00Z")
            }
        }
        filter.isActive = try flag("active")
        filter.isDemo = try flag("demo")
        filter.role = try text("role")
        filter.text = try text("q")
        filter.email = try text("email")
        filter.phone = try text("phone")
        return filter
    }
}

extension JSONWriter {
    /// A profile; texts that are not known are null.
    mutating func profile(
        _ profile: Profile, _ figures: SubjectFigures? = nil,
        _ parts: Set<SubjectFigures.Part> = []
    ) {
        beginObject()
        key("id")
        string(bytes: profile.subject.id.bytes)
        key("kind")
        string(profile.kind.name)
        known("username", profile.username)
        known("email", profile.email)
        known("full_name", profile.fullName)
        known("phone", profile.phone)
        key("role")
        string(bytes: profile.role.bytes)
        key("active")
        boolean(profile.isActive)
        key("demo")
        boolean(profile.isDemo)
        key("created_at")
        string(profile.createdAt.text)
        key("updated_at")
        string(profile.updatedAt.text)
        if let figures, parts.contains(.usage) { usage(figures) }
        if let figures, parts.contains(.keys) { keys(figures.holder) }
        endObject()
    }

    private mutating func usage(_ figures: SubjectFigures) {
        key("usage")
        beginObject()
        key("events")
        integer(figures.eventCount)
        key("last_event_at")
        time(figures.lastEventAt)
        key("totals")
        meters(figures.totals)
        endObject()
    }

    /// Under the names that `/api/users` has.
    private mutating func keys(_ holder: PoolHolder) {
        key("keys")
        beginObject()
        key("total_keys_received")
        integer(holder.received)
        key("total_keys_used")
        integer(holder.firstUses)
        key("current_assigned_keys")
        integer(holder.assigned)
        key("active_keys_count")
        integer(holder.active)
        key("ready_keys_count")
        integer(holder.ready)
        endObject()
    }

    private mutating func known(_ name: StaticString, _ text: ByteString) {
        key(name)
        if text.bytes.isEmpty { null() } else { string(bytes: text.bytes) }
    }
}
