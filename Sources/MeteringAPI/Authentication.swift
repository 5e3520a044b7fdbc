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
        let isKnown = request.headers.withBytes(of: "authorization") { value in
            Self.isBearer(value)
                && areEqualSecrets(
                    UnsafeRawBufferPointer(rebasing: value[Self.scheme.utf8CodeUnitCount...]),
                    adminKey)
        }
        if isKnown == true { return nil }
        return HTTPProblem.unauthorized(
            isKnown == nil
                ? "send the header Authorization: Bearer KEY" : "this key is not known")
    }

    private static let scheme: StaticString = "bearer "

    private static func isBearer(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count >= scheme.utf8CodeUnitCount else { return false }
        for index in 0..<scheme.utf8CodeUnitCount
        where value[index] | 0x20 != scheme.utf8Start[index] { return false }
        return true
    }
}

extension HTTPProblem {
    /// 401, with the challenge that RFC 9110 asks for.
    static func unauthorized(_ detail: String) -> HTTPProblem {
        HTTPProblem(.unauthorized, code: "unauthorized", title: "Unauthorized", detail: detail)
    }
}
