// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Workspaces, for the operator; and the caller's own.
extension API {
    static let workspaceRoutes: [Route] = [
        Route(.get, "/v1/workspace", access: .reader) { try await $0.ownWorkspace($1) },
        Route(.get, "/v1/workspaces", access: .operator) { try await $0.workspaces($1) },
        Route(.post, "/v1/workspaces", access: .operator) { try await $0.addWorkspace($1) },
        Route(.get, "/v1/workspaces/{workspace}", access: .operator) {
            try await $0.workspace($1)
        },
        Route(.patch, "/v1/workspaces/{workspace}", access: .operator) {
            try await $0.changeWorkspace($1)
        },
        Route(.delete, "/v1/workspaces/{workspace}", access: .operator) {
            try await $0.removeWorkspace($1)
        },
    ]

    func ownWorkspace(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let settings = try settings(of: call.principal)
        return try await answer(with: settings)
    }

    func workspaces(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        try await store.refresh()
        var json = JSONWriter()
        json.beginObject()
        json.key("workspaces")
        json.beginArray()
        for settings in store.directory.workspaces {
            json.beginObject()
            json.key("id")
            json.string(settings.id.text)
            settings.write(&json)
            json.endObject()
        }
        json.endArray()
        json.endObject()
        return .json(json.bytes)
    }

    func workspace(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        try await store.refresh()
        guard let id = WorkspaceID(call.parameters[0]) else { throw HTTPProblem.noSuchWorkspace }
        try store.requireReadable(id)
        guard let settings = store.directory.settings(of: id) else {
            throw HTTPProblem.noSuchWorkspace
        }
        return try await answer(with: settings)
    }

    /// `POST /v1/workspaces`: `{"id", …}`; 409 when there is one of this id.
    func addWorkspace(_ call: Call) async throws -> HTTPResponse {
        let value = try body(of: call)
        guard value.kind == .object else { throw EventRejection.wrongType("", "an object") }
        guard let text = value["id"]?.text else { throw EventRejection.required("id") }
        guard let id = WorkspaceID(text) else {
            throw HTTPProblem.unprocessable(
                "invalid_id", "id: 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit")
        }
        var settings = store.directory.defaults
        settings.id = id
        // Who has no key may find a workspace that has guests: it has to want that.
        settings.guests = false
        try settings.change(by: value, except: ["id", "month_reset"])
        let reset = try Self.monthReset(value)
        guard try await store.addWorkspace(settings) else {
            throw HTTPProblem(
                .conflict, code: "workspace_exists",
                detail: "there is a workspace of this id, or one is being deleted")
        }
        if let reset { try await setMonthReset(reset, of: id) }
        await back((try sibling(id)).queries.waitUntilReady())
        var response = try await answer(with: settings)
        response.status = .created
        response.headers.append((name: "Location", value: "/v1/workspaces/\(id.text)"))
        return response
    }

    /// `PATCH /v1/workspaces/{id}`: changes the members that are sent.
    func changeWorkspace(_ call: Call) async throws -> HTTPResponse {
        let value = try body(of: call)
        guard let id = WorkspaceID(call.parameters[0]) else { throw HTTPProblem.noSuchWorkspace }
        let reset = try Self.monthReset(value)
        if id == .default {
            for (key, _) in value.members where WorkspaceSettings.configured.contains(key.text) {
                throw HTTPProblem(
                    .conflict, code: "set_by_configuration",
                    detail: "\(key.text) of default is an option of tally serve")
            }
        }
        let changed = try await store.changeWorkspace(id) { settings in
            // Read again: what stood in the reader may have gone while others were waited for.
            try settings.change(
                by: try self.json.read(call.request.body), except: ["month_reset"])
        }
        guard let changed else { throw HTTPProblem.noSuchWorkspace }
        await back((try sibling(id)).queries.waitUntilReady())
        if let reset { try await setMonthReset(reset, of: id) }
        return try await answer(with: changed)
    }

    /// `DELETE /v1/workspaces/{id}`: nobody can call in it any more; its data are removed from Redis
    /// and from disk in the background.
    func removeWorkspace(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        guard let id = WorkspaceID(call.parameters[0]) else { throw HTTPProblem.noSuchWorkspace }
        guard id != .default else {
            throw HTTPProblem(
                .conflict, code: "default_workspace", detail: "default cannot be deleted")
        }
        guard try await store.removeWorkspace(id) else { throw HTTPProblem.noSuchWorkspace }
        return HTTPResponse(status: .accepted)
    }

    private static func monthReset(_ value: JSONValue) throws -> CreditPolicy.MonthReset? {
        guard let member = value["month_reset"] else { return nil }
        guard let reset = member.text.flatMap({ CreditPolicy.MonthReset(rawValue: $0) }) else {
            throw HTTPProblem.unprocessable("invalid_value", "month_reset: anniversary or calendar")
        }
        return reset
    }

    private func setMonthReset(
        _ reset: CreditPolicy.MonthReset, of id: WorkspaceID
    ) async throws {
        try await sibling(id).engine.setMonthReset(reset)
    }

    private func answer(with settings: WorkspaceSettings) async throws -> HTTPResponse {
        let policy = try await sibling(settings.id).engine.rules().credits
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        json.string(settings.id.text)
        settings.write(&json)
        json.key("month_reset")
        json.string(policy.monthReset.rawValue)
        json.endObject()
        return .json(json.bytes)
    }
}
