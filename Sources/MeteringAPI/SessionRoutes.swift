// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Signing in, for the pages.
extension API {
    static let sessionRoutes: [Route] = [
        Route(.post, "/v1/session", access: .oneself) { try $0.signIn($1) },
        Route(.get, "/v1/session", access: .anyone) { try $0.session($1) },
        Route(.delete, "/v1/session", access: .open) { try $0.signOut($1) },
    ]

    /// `POST /v1/session`: keeps the key that the request brings in a cookie.
    private func signIn(_ call: Call) throws -> HTTPResponse {
        guard let secret = Authentication.secret(of: call.request) else {
            throw HTTPProblem.notSignedIn
        }
        var response = try session(call)
        response.headers.append(try Session.field(secret, for: call.request))
        return response
    }

    /// Who is signed in, and what pages have to know to show anything.
    private func session(_ call: Call) throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let settings = try settings(of: call.principal)
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        json.string(call.principal.sessionID)
        json.key("role")
        json.string(call.principal.role.rawValue)
        json.key("name")
        json.string(call.principal.name)
        json.key("subject")
        if let subject = call.principal.subject {
            json.string(bytes: subject.id.bytes)
        } else {
            json.null()
        }
        json.key("workspace")
        json.string(settings.id.text)
        json.key("currency")
        json.string(settings.currency)
        json.key("time_zone")
        json.string(settings.calendar.zone)
        json.endObject()
        var response = HTTPResponse.json(json.bytes)
        response.headers.append((name: "Cache-Control", value: "no-store"))
        return response
    }

    private func signOut(_ call: Call) throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return HTTPResponse(status: .noContent, headers: [Session.emptyField(for: call.request)])
    }
}
