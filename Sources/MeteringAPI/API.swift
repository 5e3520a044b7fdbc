// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
public import Identity
public import JSON
public import Metering
public import Observability
public import Transfer

/// Answers the requests of one workspace from its engine, on one loop. Made and used on the loop.
public final class API {
    /// What the facade says about the process, the same on all loops and in all workspaces.
    public struct Environment: Sendable {
        public var metrics: MetricsRegistry
        public var routes: RouteMetrics
        public var readiness: Readiness
        /// How often guests may ask.
        public var guests: GuestLimiter
        /// The header field in which a gateway names the subject of a check.
        public var subjectHeader: String
        let exports = AnswerSlots("exports", 8, workspaceMax: 4, userMax: 4)
        let streams = AnswerSlots("streams", 1000, workspaceMax: 250, userMax: 20)
        /// Questions that go through all of a workspace's subjects.
        let questions = AnswerSlots("questions", 8, workspaceMax: 4, userMax: 4)
        /// Delivers what alerts tell; here it judges where that may go.
        let courier: Courier

        public init(
            metrics: MetricsRegistry, routes: RouteMetrics, readiness: Readiness,
            subjectHeader: String = "X-Tally-Subject", guests: GuestLimiter = GuestLimiter(),
            courier: Courier = Courier()
        ) {
            self.guests = guests
            self.courier = courier
            self.subjectHeader = subjectHeader
            self.metrics = metrics
            self.routes = routes
            self.readiness = readiness
        }
    }

    let engine: MeteringEngine
    /// Answers what goes over many days; shared by the loops.
    let queries: QueryEngine
    let environment: Environment
    /// Workspaces and keys.
    let store: DirectoryStore
    /// The API of another workspace on this loop: for the operator.
    var sibling: (WorkspaceID) throws(HTTPProblem) -> API = { _ throws(HTTPProblem) in
        throw .noSuchWorkspace
    }
    /// Whether who made a call may still make it: its key may have been revoked, its workspace be gone.
    var isStillAllowed: (Call) async -> Bool = { _ in false }
    /// Shared by all that run on the loop: what it read stands until one of them, or the same one after
    /// an `await`, reads again.
    var json: JSONReader {
        assert(engine.isOnItsLoop, "JSON is read off the thread of the loop")
        return reader
    }
    private let reader: JSONReader
    let texts = VerdictTexts()
    let labels = LabelMemory()

    /// - Parameter json: may be shared by all that run on the loop.
    public init(
        engine: MeteringEngine, queries: QueryEngine, environment: Environment,
        store: DirectoryStore, json: JSONReader
    ) {
        self.store = store
        self.engine = engine
        self.queries = queries
        self.environment = environment
        reader = json
    }

    /// A request on its way to a handler, with the parameters of its path, decoded.
    struct Call {
        let request: HTTPRequest
        var parameters: [String] = []
        let principal: Principal
        /// What an erased subject's use is counted for, where the call erases one.
        var anonymous: SubjectID?
    }

    /// The one place where errors become answers.
    ///
    /// - Parameter isChange: whether the request was to change something.
    func problem(_ error: any Error, isChange: Bool = false) -> HTTPProblem {
        switch error {
        case let problem as HTTPProblem: return problem
        case let rejection as EventRejection: return HTTPProblem(rejection)
        case let error as JSONError: return HTTPProblem(error)
        case MeteringError.undecided(let reason) where !isChange: return .unavailable(reason)
        case MeteringError.undecided(let reason):
            return .outcomeUnknown("\(reason); whether it was done is not known")
        case let error as MeteringError where isChange && error.mayBeDone:
            return .outcomeUnknown("\(error); whether it was done is not known")
        case MeteringError.postponed(let reason, let fault): return .postponed(reason, fault)
        case let error as MeteringError where error.storageFault != nil:
            return .postponed("\(error)", error.storageFault)
        case MeteringError.building(let what):
            return HTTPProblem(
                .serviceUnavailable, code: "leaderboard_building", title: "Service Unavailable",
                detail: "\(what) is being built; ask again")
        case MeteringError.tooMany(let what):
            var problem = HTTPProblem(
                .serviceUnavailable, code: "too_many_leaderboards", title: "Service Unavailable",
                detail: "\(what); one that nobody asks for makes room after three minutes")
            problem.headers = [("Retry-After", "60")]
            return problem
        case MeteringError.incomplete(let warnings): return .incomplete(warnings)
        case MeteringError.damaged(let what): return .dataConflict(what)
        default:
            return .unavailable("\(error)")
        }
    }
}

extension HTTPProblem {
    /// What could not be read is needed for the answer.
    static func incomplete(_ warnings: [String]) -> HTTPProblem {
        HTTPProblem(
            .serviceUnavailable, code: "incomplete", detail: warnings.joined(separator: "; "))
    }

    /// What Redis holds is none of what Tally writes.
    static func dataConflict(_ what: String) -> HTTPProblem {
        HTTPProblem(
            .serviceUnavailable, code: "data_conflict", title: "Service Unavailable",
            detail: "Redis holds something that Tally did not write: \(what)")
    }

    init(_ rejection: EventRejection) {
        let status: HTTPStatus =
            switch rejection.status {
            case 400: .badRequest
            case 404: .notFound
            case 409: .conflict
            case 412: .preconditionFailed
            default: .unprocessableContent
            }
        self.init(status, code: rejection.code, detail: rejection.explanation)
    }

    init(_ error: JSONError) {
        self.init(.badRequest, code: error.code.rawValue, detail: error.explanation)
    }
}

extension EventRejection {
    /// What is wrong, and where.
    var explanation: String { field.isEmpty ? detail : "\(field): \(detail)" }
}
