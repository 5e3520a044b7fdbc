// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Metering

/// Knows the keys that may call. Until there are more, it is the one key of the administrator.
public struct Authentication: Sendable {
    private let adminKey: [UInt8]

    /// - Parameter adminKey: at least 16 characters; the caller has checked that.
    public init(adminKey: String) { self.adminKey = Array(adminKey.utf8) }

    /// Nil when the request carries the administrator's key, else the refusal.
    func refusal(of request: HTTPRequest) -> HTTPProblem? {
        guard let value = request.headers.bytes(of: "authorization") else {
            return HTTPProblem.unauthorized("send the header Authorization: Bearer KEY")
        }
        let scheme = value.prefix(7)
        let isBearer =
            scheme.count == 7 && zip(scheme, "bearer ".utf8).allSatisfy { $0 | 0x20 == $1 }
        let key = Array(value.dropFirst(7))
        guard isBearer, areEqualSecrets(key, adminKey) else {
            return HTTPProblem.unauthorized("this key is not known")
        }
        return nil
    }
}

extension HTTPProblem {
    /// 401, with the challenge that RFC 9110 asks for.
    static func unauthorized(_ detail: String) -> HTTPProblem {
        HTTPProblem(.unauthorized, code: "unauthorized", title: "Unauthorized", detail: detail)
    }
}
