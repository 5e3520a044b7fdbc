// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Tells who makes a request. On one loop.
final class Authentication {
    /// What can be told of a request at once.
    enum Finding {
        case principal(Principal)
        case refused(HTTPProblem)
        /// Redis has to be asked.
        case unknown
        /// Nothing is known of the workspace that the operator names: Redis has to be asked.
        case unknownWorkspace
    }

    private static let scheme: StaticString = "bearer "
    private static let workspaceHeader = "x-tally-workspace"

    private let operatorKey: KnownSecret
    private let store: DirectoryStore
    private let attempts: AttemptLimiter
    private let tokens: TokenVerifier?
    private let json: JSONReader

    init(
        operatorKey: String, store: DirectoryStore, attempts: AttemptLimiter,
        tokens: TokenVerifier?
    ) {
        guard let json = try? JSONReader() else { preconditionFailure("no memory at the start") }
        self.json = json
        self.tokens = tokens
        self.operatorKey = KnownSecret(Array(operatorKey.utf8))
        self.store = store
        self.attempts = attempts
        attempts.succeed(Array(operatorKey.utf8), isOperator: true)
    }

    /// Who sent the request, as far as it is known without waiting.
    ///
    /// - Parameter changes: whether the request may change something.
    func find(_ request: HTTPRequest, changes: Bool) -> Finding {
        let finding = request.headers.withBytes(of: "authorization") { value -> Finding in
            guard let secret = Self.secret(value) else { return .refused(.notSignedIn) }
            return find(secret, request)
        }
        switch finding ?? findBySession(request, changes: changes) {
        case .principal(let principal): return inWorkspace(principal, request)
        case let finding: return finding
        }
    }

    private func find(_ secret: UnsafeRawBufferPointer, _ request: HTTPRequest) -> Finding {
        // Nobody guesses a signature: who signs in by a token is not held up by others behind its address.
        // The operator's key may look like one.
        if let tokens, TokenVerifier.isToken(secret), !operatorKey.isEqual(to: secret) {
            switch tokens.judge(Array(secret), json) {
            case .principal(let principal): return .principal(principal)
            case .outOfForce: return .refused(.unknownKey)
            case .damaged: return .refused(.damagedSettings)
            case .forged:
                if attempts.isSlowed(request.remoteAddress, Array(secret)) {
                    return .refused(.tooManyAttempts)
                }
                attempts.fail(request.remoteAddress)
                return .refused(.unknownKey)
            }
        }
        if attempts.isSlowed(request.remoteAddress, Array(secret)) {
            return .refused(.tooManyAttempts)
        }
        if operatorKey.isEqual(to: secret) {
            return .principal(Principal(role: .operator, workspace: .default, name: "operator"))
        }
        switch store.knownPrincipal(ofSecret: Array(secret)) {
        case .some(.some(let principal)): return .principal(principal)
        case .some(.none):
            attempts.fail(request.remoteAddress, Array(secret))
            return .refused(.unknownKey)
        case .none: return .unknown
        }
    }

    /// The pages' own requests have the key in a cookie.
    private func findBySession(_ request: HTTPRequest, changes: Bool) -> Finding {
        guard let secret = Session.secret(of: request) else { return .refused(.notSignedIn) }
        guard !changes || Session.isOwn(request) else { return .refused(.crossSite) }
        let finding = secret.withUnsafeBytes { find($0, request) }
        if case .principal(let principal) = finding,
            Session.isOfAnother(request, than: principal)
        {
            return .refused(.otherSession)
        }
        return finding
    }

    /// Who sent the request.
    ///
    /// - Parameter changes: whether the request may change something.
    /// - Throws: 401 when that is not known; 503 when it cannot be told now.
    func principal(of request: HTTPRequest, changes: Bool) async throws -> Principal {
        var finding = find(request, changes: changes)
        if case .unknownWorkspace = finding {
            // Another process may have made it a moment ago.
            try await store.refresh()
            finding = find(request, changes: changes)
        }
        switch finding {
        case .principal(let principal): return principal
        case .refused(let problem): throw problem
        case .unknownWorkspace: throw HTTPProblem.noSuchWorkspace
        case .unknown: break
        }
        let secret = Self.secret(of: request) ?? []
        guard attempts.mayLook(request.remoteAddress, secret) else {
            throw HTTPProblem.tooManyAttempts
        }
        guard let principal = try await store.principal(ofSecret: secret) else {
            attempts.fail(request.remoteAddress, secret)
            throw HTTPProblem.unknownKey
        }
        attempts.succeed(secret)
        guard
            request.headers.value(of: "authorization") != nil
                || !Session.isOfAnother(request, than: principal)
        else { throw HTTPProblem.otherSession }
        if case .refused(let problem) = inWorkspace(principal, request) { throw problem }
        return principal
    }

    /// The operator may name the workspace to act in. Who has a key of one can name no other: it would act
    /// elsewhere than it was told to.
    private func inWorkspace(_ principal: Principal, _ request: HTTPRequest) -> Finding {
        // A gateway may hand its clients' headers on: it names the workspace in what it asks.
        guard let name = request.headers.value(of: Self.workspaceHeader),
            !API.isGatewayPath(request.path)
        else { return .principal(principal) }
        guard request.headers.values(of: Self.workspaceHeader).count == 1 else {
            return .refused(.badRequest("duplicate_header", "More than one X-Tally-Workspace."))
        }
        guard principal.role == .operator else {
            return name == principal.workspace.text
                ? .principal(principal) : .refused(.workspaceOfAnother)
        }
        guard let id = WorkspaceID(name) else { return .refused(.noSuchWorkspace) }
        guard let settings = store.directory.settings(of: id) else {
            return store.directory.isDamaged(id) ? .refused(.damagedSettings) : .unknownWorkspace
        }
        return .principal(
            Principal(
                role: .operator, workspace: id, birth: settings.birth, name: principal.name))
    }

    /// A guest, who has an id and nothing that proves it; nil for anybody else.
    ///
    /// - Throws: 422 when the id is none.
    func guest(_ request: HTTPRequest) throws(HTTPProblem) -> Principal? {
        guard request.headers.value(of: "authorization") == nil,
            request.headers.values(of: "x-guest-id").count == 1,
            let id = request.headers.bytes(of: "x-guest-id"), !id.isEmpty
        else { return nil }
        var workspace = WorkspaceID.default
        if let name = request.headers.value(of: Self.workspaceHeader) {
            guard request.headers.values(of: Self.workspaceHeader).count == 1,
                let named = WorkspaceID(name)
            else { return nil }
            workspace = named
        }
        guard let settings = store.directory.settings(of: workspace), settings.guests else {
            // Of any other workspace they are not told that there is one.
            if workspace == .default, store.directory.isDamaged(workspace) {
                throw .damagedSettings
            }
            return nil
        }
        guard let subject = SubjectID(guest: id) else { throw .invalidGuest }
        return Principal(
            role: .guest, workspace: workspace, birth: settings.birth, subject: subject,
            name: "guest")
    }

    /// The key that a request brings, in its header or its cookie.
    static func secret(of request: HTTPRequest) -> [UInt8]? {
        let own = request.headers.withBytes(of: "authorization") { value -> [UInt8] in
            Self.secret(value).map { Array($0) } ?? []
        }
        if let own { return own.isEmpty ? nil : own }
        return Session.secret(of: request)
    }

    private static func secret(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard value.count > scheme.utf8CodeUnitCount else { return nil }
        for index in 0..<scheme.utf8CodeUnitCount
        where value[index] | 0x20 != scheme.utf8Start[index] { return nil }
        return UnsafeRawBufferPointer(rebasing: value[scheme.utf8CodeUnitCount...])
    }
}

extension SubjectID {
    /// A guest by the id that it made up, which is not to look like the subject that it becomes.
    init?(guest id: ArraySlice<UInt8>) {
        guard !id.isEmpty, !id.starts(with: Self.guestPrefix.utf8) else { return nil }
        self.init(bytes: Array(Self.guestPrefix.utf8) + id)
    }
}

extension HTTPProblem {
    /// 401, with the challenge that RFC 9110 asks for.
    static func unauthorized(_ detail: String) -> HTTPProblem {
        HTTPProblem(.unauthorized, code: "unauthorized", title: "Unauthorized", detail: detail)
    }

    static let notSignedIn = unauthorized("send the header Authorization: Bearer KEY")
    static let unknownKey = unauthorized("this key is not known")

    /// 403: the caller is known, and may not.
    static func forbidden(_ detail: String) -> HTTPProblem {
        HTTPProblem(.forbidden, code: "forbidden", title: "Forbidden", detail: detail)
    }

    static let crossSite = HTTPProblem(
        .forbidden, code: "cross_site", title: "Forbidden",
        detail: "with the cookie of a session only the pages of this service may call; "
            + "others send a key in the header Authorization")

    static let noSuchWorkspace = HTTPProblem(
        .notFound, code: "workspace_not_found", title: "Not Found",
        detail: "there is no such workspace")

    /// As if there were none: nobody knows of another workspace than its own.
    static let workspaceOfAnother = HTTPProblem(
        .notFound, code: "workspace_not_found", title: "Not Found",
        detail: "X-Tally-Workspace names another workspace than that of this key: leave it out")

    /// 503 for who calls in a workspace whose entry cannot be read; others are not told of it.
    static let damagedSettings = dataConflict("the settings of the workspace")

    static let tooManyAttempts: HTTPProblem = {
        var problem = HTTPProblem(
            .tooManyRequests, code: "too_many_attempts", title: "Too Many Requests",
            detail: "too many unknown keys came from this address; wait a minute")
        problem.headers = [(name: "Retry-After", value: "60")]
        return problem
    }()
}
