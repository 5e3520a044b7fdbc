// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

extension Route {
    /// Whether what it does is noted in the audit log: it changes something, and is for
    /// administrators only, or makes one person of two for good.
    var isAudited: Bool {
        method != .get && method != .head
            && (access == .admin || access == .operator || isMerge)
    }

    /// Its answer says who came to whom, which the user's own record does not.
    fileprivate var isMerge: Bool { name == "/v1/subjects/{id}/merge" }

    /// Whether a call is noted: also events of any age, which only administrators may send.
    func isNoted(_ call: API.Call) -> Bool {
        isAudited || (Access.admin.includes(call.principal.role) && isBackfill(call))
    }

    fileprivate func isBackfill(_ call: API.Call) -> Bool {
        guard method == .post, name == "/v1/events", call.request.query != nil else { return false }
        let parameters = try? QueryParameters(call.request.query, allowed: ["backfill"])
        return (try? parameters?.flag("backfill")) == true
    }

    /// The route that shows what this one changes: of the same path, or of the path without the verb
    /// at its end (`…/{subject}/grants`). Lists and imports are about no one thing.
    var shown: Route? {
        var pattern = path
        if method != .post, let route = Self.shows[Self.plain(pattern)] { return route }
        guard pattern.count > 1, pattern.removeLast().first != "{", pattern.last?.first == "{"
        else {
            return nil
        }
        return Self.shows[Self.plain(pattern)]
    }

    /// By path, whatever the names of its parameters.
    private static let shows: [[Substring]: Route] = Dictionary(
        Router.routes.filter { $0.method == .get }.map { (plain($0.path), $0) }
    ) { first, _ in first }

    private static func plain(_ path: [Substring]) -> [Substring] {
        path.map { $0.first == "{" ? "{}" : $0 }
    }
}

extension API {
    /// Longer JSON is not kept, but how long it was.
    private static let shownByteCountMax = 16 * 1024
    /// Members whose values are nobody's business.
    private static let secretMembers: Set<String> = ["secret", "secrets", "password", "token"]

    /// Does what a route does, and notes it in the audit log: that it was begun, before it is done,
    /// and how it went.
    ///
    /// - Throws: what the route throws; 503 when it could not be noted, and was not done.
    func noted(_ route: Route, _ call: Call) async throws -> HTTPResponse {
        // A workspace takes its log with it when it is deleted.
        let workspace =
            route.access == .operator ? .default : changed(by: route, call)
        let request = call.request
        var call = call
        if route.erases(call), let subject = call.parameters.first.flatMap({ SubjectID($0) }) {
            call.anonymous = try await back(queries.anonymousID(for: subject))
        }
        let path = call.anonymous.map { "/v1/subjects/\($0.id.text)" } ?? request.path
        let act = AuditAct(
            actor: ByteString(call.principal.name), role: call.principal.role.rawValue,
            address: request.remoteAddress, method: request.method.name, route: route.name,
            path: path, before: await shown(by: route, call))
        let id = try await back(sibling(workspace).queries.beginAct(act))
        do {
            let response = try await route.handler(self, call)
            var after: [UInt8]?
            // Ids of events are not for the log.
            if response.status.code < 400, call.anonymous == nil, !route.isBackfill(call) {
                let isAnswer = route.shown == nil || route.isMerge
                after = isAnswer ? kept(response) : await shown(by: route, call)
            }
            await note(id, response.status.code, after, in: workspace)
            return response
        } catch {
            await note(id, problem(error).status.code, nil, in: workspace)
            throw error
        }
    }

    /// The workspace that an act is about: the operator may make a key for another one.
    private func changed(by route: Route, _ call: Call) -> WorkspaceID {
        guard route.name == "/v1/keys", call.principal.role == .operator,
            let named = (try? body(of: call))?["workspace"]?.text.flatMap({ WorkspaceID($0) }),
            store.directory.settings(of: named) != nil
        else { return call.principal.workspace }
        return named
    }

    /// The act is done by now, and its caller is told so whether this can be noted or not. The engine is
    /// asked for anew: a change of a workspace may have ended the one before.
    private func note(
        _ id: AuditPosition, _ status: Int, _ after: [UInt8]?, in workspace: WorkspaceID
    ) async {
        try? await back(sibling(workspace).queries.endAct(id, status: status, after: after))
    }

    /// What there is at the path of an act, as JSON; nil for nothing.
    private func shown(by route: Route, _ call: Call) async -> [UInt8]? {
        guard let shown = route.shown, call.anonymous == nil else { return nil }
        var path = call.request.path[...]
        if shown.path.count < route.path.count, let slash = path.lastIndex(of: "/") {
            path = path[..<slash]
        }
        let request = HTTPRequest(
            method: .get, path: String(path), remoteAddress: call.request.remoteAddress)
        var parameters = call.parameters
        // What is done to a guest who was merged is done to the user.
        for (index, name) in parameters.enumerated() {
            guard let guest = SubjectID(name), guest.kind == .guest,
                let user = try? await owner(guest)
            else { continue }
            parameters[index] = user.id.text
        }
        let asked = Call(request: request, parameters: parameters, principal: call.principal)
        guard let response = try? await shown.handler(self, asked), response.status == .ok else {
            return nil
        }
        return kept(response)
    }

    /// The JSON of an answer without its secrets; nil for anything else.
    private func kept(_ response: HTTPResponse) -> [UInt8]? {
        guard case .bytes(let bytes) = response.body, !bytes.isEmpty else { return nil }
        var writer = JSONWriter(capacity: bytes.count)
        guard bytes.count <= Self.shownByteCountMax else {
            writer.beginObject()
            writer.key("omitted_bytes")
            writer.integer(bytes.count)
            writer.endObject()
            return writer.bytes
        }
        guard let value = try? json.read(bytes) else { return nil }
        writer.value(value, hiding: Self.secretMembers)
        return writer.bytes
    }
}
