// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Observability

/// Who waits for an answer of the hot path. One closure from the request to its answer has all it
/// needs: the hot path makes no other.
enum Recipient {
    case reply(HTTPReply, RouteMetrics.Route, since: Int)
    case task((HTTPResponse) -> Void)
}

extension API {
    func send(_ response: HTTPResponse, to recipient: Recipient) {
        switch recipient {
        case .reply(let reply, let route, let start):
            environment.routes.inFlight.add(-1)
            route.observe(response.status, microseconds: monotonicMicroseconds() - start)
            reply.send(response)
        case .task(let resume): resume(response)
        }
    }

    /// For the router, which has no reply to fill.
    func response(_ work: (Recipient) -> Void) async -> HTTPResponse {
        await withCheckedContinuation { continuation in
            work(.task({ continuation.resume(returning: $0) }))
        }
    }
}
