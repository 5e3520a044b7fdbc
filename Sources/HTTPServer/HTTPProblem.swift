// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials

/// A refusal or failure as clients see it (RFC 9457, `application/problem+json`).
public struct HTTPProblem: Error, Sendable {
    public var status: HTTPStatus
    /// Stable and in snake_case: what programs decide by.
    public var code: String
    /// Short text for people; the same for each problem of this code.
    public var title: String
    /// What is the matter with this request.
    public var detail: String
    /// A URI that names this occurrence.
    public var instance: String?
    public var type = "about:blank"
    /// Further members, in order, after the others.
    public var extra: [(name: String, value: any Encodable & Sendable)]
    /// Further headers of the answer, such as `Allow` or `Retry-After`.
    public var headers: [(name: String, value: String)] = []

    /// A problem; the title is the status's reason unless given.
    public init(
        _ status: HTTPStatus, code: String, title: String? = nil, detail: String,
        instance: String? = nil, extra: [(name: String, value: any Encodable & Sendable)] = []
    ) {
        self.status = status
        self.code = code
        self.title = title ?? status.reason
        self.detail = detail
        self.instance = instance
        self.extra = extra
    }

    /// The answer to send.
    public func response() -> HTTPResponse {
        var members: [(name: String, value: any Encodable)] = [
            ("type", type), ("title", title), ("status", status.code), ("detail", detail),
        ]
        if let instance { members.append(("instance", instance)) }
        members.append(("code", code))
        for member in extra { members.append((member.name, member.value)) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        // Member by member, because an encoder gives no order to keys.
        let parts = members.compactMap { name, value -> String? in
            guard let key = try? encoder.encode(name), let text = try? encoder.encode(value) else {
                return nil
            }
            return String(decoding: key, as: UTF8.self) + ":"
                + String(decoding: text, as: UTF8.self)
        }
        return HTTPResponse(
            status: status,
            headers: [("Content-Type", "application/problem+json")] + headers,
            body: .bytes(Array("{\(parts.joined(separator: ","))}\n".utf8)))
    }
}

/// What the server itself refuses.
extension HTTPProblem {
    static func invalid(_ code: String, _ detail: String) -> HTTPProblem {
        HTTPProblem(.badRequest, code: code, detail: detail)
    }

    static var noContentLength: HTTPProblem {
        invalid("invalid_content_length", "Content-Length is no number.")
    }
    static var uriTooLong: HTTPProblem {
        HTTPProblem(
            .uriTooLong, code: "uri_too_long", detail: "the request line is longer than 8 KiB")
    }
    static var headersTooLarge: HTTPProblem {
        HTTPProblem(
            .headersTooLarge, code: "headers_too_large",
            detail: "the header is longer than 16 KiB or has more than 100 fields")
    }
    static var bodyTooLarge: HTTPProblem {
        HTTPProblem(
            .contentTooLarge, code: "body_too_large",
            detail: "the body is longer than this service takes")
    }
    static var requestTimeout: HTTPProblem {
        HTTPProblem(
            .requestTimeout, code: "request_timeout",
            detail: "the request did not come whole in time")
    }
    /// 501 (RFC 9110, 15.6.2); 405 where a 5xx would be taken for an error of the server's.
    static func unknownMethod(
        _ head: UnsafeRawBufferPointer, _ limits: HTTPServerConfiguration
    ) -> HTTPProblem {
        let target = head.drop { $0 != 0x20 }.dropFirst()
        if let prefix = limits.pathsForGateways, target.starts(with: prefix.utf8) {
            return .refusedMethod("this method is not answered here")
        }
        return HTTPProblem(
            .notImplemented, code: "method_not_implemented", detail: "this method is not known here"
        )
    }
    static var unsupportedVersion: HTTPProblem {
        HTTPProblem(
            .versionNotSupported, code: "http_version_unsupported",
            detail: "this service speaks HTTP/1.1")
    }
    static var tooManyConnections: HTTPProblem {
        unavailable("too_many_connections", "all connections are taken; try again in a second")
    }
    static var tooManyBodies: HTTPProblem {
        unavailable(
            "too_many_bodies", "too much is being sent by others; try again in a second")
    }
    static var traceRefused: HTTPProblem { refusedMethod("TRACE is not answered here") }

    private static func unavailable(_ code: String, _ detail: String) -> HTTPProblem {
        var problem = HTTPProblem(.serviceUnavailable, code: code, detail: detail)
        problem.headers = [("Retry-After", "1")]
        return problem
    }

    private static func refusedMethod(_ detail: String) -> HTTPProblem {
        var problem = HTTPProblem(.methodNotAllowed, code: "method_not_allowed", detail: detail)
        let methods = HTTPMethod.known.map(\.name).joined(separator: ", ")
        problem.headers = [("Allow", methods)]
        return problem
    }
}
