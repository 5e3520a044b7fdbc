// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// Guests who sign in.
extension API {
    static let mergeRoutes: [Route] = [
        Route(.post, "/v1/subjects/{id}/merge", access: .writer) { try await $0.merge($1) }
    ]

    private static let mergeTriesMax = 50

    /// `POST /v1/subjects/{id}/merge` `{"guest"}`.
    private func merge(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let user = try subject(call, at: 0)
        let guest = try guest(in: try body(of: call))
        guard user.kind == .user else {
            throw HTTPProblem.unprocessable("invalid_id", "a guest cannot be merged into a guest")
        }
        guard !user.isErased else { throw EventRejection.reservedID }
        var (tries, movedCount) = (0, 0)
        while tries < Self.mergeTriesMax {
            let (plan, verdict): (GuestMerge, Verdict)
            do {
                plan = try await back(queries.mergePlan(of: guest))
                verdict = try await engine.merge(plan, into: user)
            } catch let error as MeteringError where movedCount > 0 {
                // What is true of this part is not true of those before it.
                throw HTTPProblem.outcomeUnknown(
                    "\(error.reason); a part of the guest's days was moved: send it again")
            }
            switch verdict.status {
            case .changed: tries += 1
            case .allowed where plan.isPartial: movedCount += plan.movedCount
            case .allowed:
                // What was known of who it was: it is somebody else's profile now.
                try await removeProfile(of: guest)
                return merged(
                    guest, user, movedCount + plan.movedCount, isRepeated: false)
            case .repeated:
                // It may have been cut off just here.
                try await removeProfile(of: guest)
                return merged(guest, user, 0, isRepeated: true)
            case .conflict:
                throw HTTPProblem(
                    .conflict, code: "guest_merged", title: "Conflict",
                    detail: "the guest was merged into another user")
            case .tooMany:
                throw HTTPProblem(
                    .conflict, code: "too_many", title: "Conflict",
                    detail: "the user would have more holds or grants than a subject may have")
            default:
                throw HTTPProblem.unprocessable(
                    "counter_overflow", "a total of the user would pass 2^53 - 1")
            }
        }
        throw HTTPProblem.unavailable("the guest is being counted; ask again")
    }

    private func removeProfile(of guest: SubjectID) async throws {
        do {
            _ = try await back(queries.removeProfile(of: guest))
        } catch {
            throw MeteringError.undecided(reason: error.reason)
        }
    }

    private func guest(in value: JSONValue) throws -> SubjectID {
        guard value.kind == .object else { throw EventRejection.wrongType("", "an object") }
        for (key, _) in value.members where key.text != "guest" {
            throw HTTPProblem.unprocessable("unknown_field", "a merge has guest")
        }
        guard let member = value["guest"], !member.isNull else {
            throw EventRejection.required("guest")
        }
        guard let text = member.string else { throw EventRejection.wrongType("guest", "a text") }
        guard let guest = SubjectID(String(decoding: text, as: UTF8.self)), guest.kind == .guest
        else {
            throw HTTPProblem.unprocessable("invalid_id", "guest: an id that begins with guest:")
        }
        return guest
    }

    private func merged(
        _ guest: SubjectID, _ user: SubjectID, _ eventCount: Int, isRepeated: Bool
    ) -> HTTPResponse {
        var json = JSONWriter()
        json.beginObject()
        json.key("subject")
        json.string(bytes: user.id.bytes)
        json.key("guest")
        json.string(bytes: guest.id.bytes)
        json.key("events")
        json.integer(eventCount)
        json.key("duplicate")
        json.boolean(isRepeated)
        json.endObject()
        return .json(json.bytes)
    }
}

extension HTTPProblem {
    static let guestMerged = HTTPProblem(
        .forbidden, code: "guest_merged", title: "Forbidden",
        detail: "this guest has become a user, who has to sign in")
}
