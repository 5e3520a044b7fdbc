// SPDX-License-Identifier: Apache-2.0

internal import CAssets
internal import Cryptography
internal import HTTPServer

/// What all routes take and answer, as OpenAPI 3.1. scripts/openapi makes it from docs/openapi.
extension API {
    static let descriptionRoutes: [Route] = [
        Route(.get, "/openapi.json", access: .open) { _, call in try description(call.request) }
    ]

    /// The description of a service of this version; the same bytes from every process of it.
    static let openAPI: [UInt8] = {
        let file = tally_openapi()
        return Array(UnsafeBufferPointer(start: file.bytes, count: file.length))
    }()

    private static let openAPITag: String = {
        let digest = StreamingDigest()
        openAPI.withUnsafeBytes { digest.update($0) }
        return "\"\(String(decoding: digest.hexadecimal().prefix(32), as: UTF8.self))\""
    }()

    private static func description(_ request: HTTPRequest) throws -> HTTPResponse {
        _ = try QueryParameters(request.query, allowed: [])
        let headers = [(name: "ETag", value: openAPITag)]
        if request.headers.hasIfNoneMatch(openAPITag) {
            return HTTPResponse(status: .notModified, headers: headers)
        }
        var response = HTTPResponse.json(openAPI)
        response.sharesBody = true
        response.headers += headers
        return response
    }
}
