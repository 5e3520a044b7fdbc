// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Subjects who are erased, and the receipts of that.
extension API {
    static let eraseRoutes: [Route] = [
        Route(.get, "/v1/erasures", access: .admin) { try await $0.erasures($1) },
        Route(.get, "/v1/erasures/{erasure}", access: .admin) { try await $0.erasure($1) },
    ]

    /// For how long the answer waits for the end.
    private static let patienceMS = 3_000

    /// `DELETE /v1/subjects/{id}?erase=true`: 200 when it is done within a few seconds, else 202.
    func erase(_ subject: SubjectID, _ call: Call) async throws -> HTTPResponse {
        guard !subject.isErased else { throw EventRejection.reservedID }
        let anonymous: SubjectID
        if let given = call.anonymous {
            anonymous = given
        } else {
            anonymous = try await back(queries.anonymousID(for: subject))
        }
        guard let begun = try await back(queries.erase(subject, as: anonymous)) else {
            throw HTTPProblem.notFound("nothing is known of this subject")
        }
        // Nobody acts as the person from here on: its keys are revoked.
        try await store.refresh()
        let erasure = try await back(queries.erasure(begun.id, withinMS: Self.patienceMS)) ?? begun
        engine.forgetDenials()
        var json = JSONWriter()
        json.erasure(erasure, of: subject)
        var response = HTTPResponse.json(json.bytes)
        if !erasure.isDone { response.status = .accepted }
        return response
    }

    /// `GET /v1/erasures?limit=&cursor=`: the newest first.
    private func erasures(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["limit", "cursor"])
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let offset = try query.integer("cursor", in: 0...1_000_000_000, default: 0)
        let erasures = try await back(queries.erasures(offset: offset, limit: limit + 1))
        var json = JSONWriter()
        json.beginObject()
        json.key("erasures")
        json.beginArray()
        for erasure in erasures.prefix(limit) { json.erasure(erasure) }
        json.endArray()
        json.key("next")
        if erasures.count > limit { json.string("\(offset + limit)") } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    private func erasure(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        guard let erasure = try await back(queries.erasure(call.parameters[0])) else {
            throw HTTPProblem.notFound("there is no such erasure")
        }
        var json = JSONWriter()
        json.erasure(erasure)
        return .json(json.bytes)
    }
}

extension Route {
    /// Whether a call of it erases a subject: what is noted of it must not name whom.
    func erases(_ call: API.Call) -> Bool {
        guard method == .delete, name == "/v1/subjects/{id}",
            let query = try? QueryParameters(call.request.query, allowed: ["erase"])
        else { return false }
        return (try? query.flag("erase")) ?? false
    }
}

extension JSONWriter {
    /// A receipt; the subject is told to who has just named it, and nowhere else.
    fileprivate mutating func erasure(_ erasure: Erasure, of subject: SubjectID? = nil) {
        beginObject()
        key("id")
        string(erasure.id)
        key("state")
        string(erasure.isMerged ? "merged" : erasure.isDone ? "done" : "running" as String)
        if let subject {
            key("subject")
            string(bytes: subject.id.bytes)
        }
        key("subject_sha256")
        string(erasure.digest)
        key("anonymous")
        string(bytes: erasure.anonymous.id.bytes)
        key("requested_at")
        string(erasure.requestedAt.text)
        key("erased_at")
        time(erasure.erasedAt)
        key("removed")
        beginObject()
        for part in ErasedPart.allCases {
            key(bytes: Array(part.name.utf8))
            integer(erasure.removed[part] ?? 0)
        }
        endObject()
        key("kept")
        beginObject()
        key("events")
        integer(erasure.keptEventCount)
        key("totals")
        meters(erasure.kept)
        endObject()
        key("append_only_file")
        if let name = erasure.appendOnlyFile.name { string(name) } else { null() }
        key("problem")
        if let problem = erasure.problem { string(problem) } else { null() }
        endObject()
    }
}
