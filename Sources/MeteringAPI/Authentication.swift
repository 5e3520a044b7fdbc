// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import HTTPServer
internal import Identity
internal import Metering

/// Tells who makes a request.
public struct Authentication: Sendable {
    private let operatorKey: [UInt8]

    /// - Parameter operatorKey: at least 16 characters; the caller has checked that.
    public init(operatorKey: String) { self.operatorKey = Array(operatorKey.utf8) }

    /// Who sent the request; 401 when that is not known.
    func principal(of request: HTTPRequest) throws(HTTPProblem) -> Principal {
        let found = request.headers.withBytes(of: "authorization") { value -> Principal? in
            guard Self.isBearer(value) else { return nil }
            let secret = UnsafeRawBufferPointer(
                rebasing: value[Self.scheme.utf8CodeUnitCount...])
            return areEqualSecrets(secret, operatorKey)
                ? Principal(role: .operator, workspace: .default, name: "operator") : nil
        }
        guard let principal = found.flatMap({ $0 }) else {
            throw .unauthorized(
                found == nil
                    ? "send the header Authorization: Bearer KEY" : "this key is not known")
        }
        return principal
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

    /// 403: the caller is known, and may not.
    static func forbidden(_ detail: String) -> HTTPProblem {
        HTTPProblem(.forbidden, code: "forbidden", title: "Forbidden", detail: detail)
    }
}
