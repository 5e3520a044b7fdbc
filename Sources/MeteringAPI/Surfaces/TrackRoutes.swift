// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// What users and guests do with files, told by themselves or by a back end: docs/surfaces.md, D.
extension API {
    static let trackRoutes: [Route] = [
        Route(.post, "/usage/track/upload", access: .recorder) { try await $0.trackUpload($1) },
        Route(.post, "/usage/track/processing", access: .recorder) {
            try await $0.trackProcessing($1)
        },
        Route(.post, "/usage/track/download", access: .recorder) {
            try await $0.track($1, "file_download", .filesDownloaded)
        },
        Route(.post, "/usage/track/api-call", access: .recorder) {
            try await $0.track($1, "api_call", .apiCalls)
        },
    ]

    /// `{"file_size", "processing_type"?}`: refused when a limit does not allow it.
    private func trackUpload(_ call: Call) async throws -> HTTPResponse {
        let body = try TrackBody(call, try trackedValue(call), [.fileSize, .processingType])
        guard let size = body.fileSize else { throw EventRejection.required("file_size") }
        var amounts = [(Meter.filesUploaded, 1), (.inputBytes, size)]
        var model = ByteString.empty
        if let type = body.processingType {
            model = try await back(
                queries.processingType(
                    type, isTrusted: Access.writer.includes(call.principal.role)))
            if let meter = Meter(processingType: model) { amounts.append((meter, 1)) }
        }
        return try await record(
            call, body, "file_upload", amounts, model: model, isEnforced: true)
    }

    /// `{"processing_time", "output_file_size"?, "success"?}`: what was done is counted, whatever the
    /// limits say.
    private func trackProcessing(_ call: Call) async throws -> HTTPResponse {
        let body = try TrackBody(
            call, try trackedValue(call), [.processingTime, .outputFileSize, .success])
        guard let time = body.processingMS else {
            throw EventRejection.required("processing_time")
        }
        let meter = body.success ? Meter.filesProcessed : .filesFailed
        var amounts = [(meter, 1)]
        if let size = body.outputFileSize { amounts.append((.outputBytes, size)) }
        amounts.append((.processingMS, time))
        return try await record(call, body, "file_processing", amounts, isEnforced: false)
    }

    private func track(
        _ call: Call, _ action: String, _ meter: Meter
    ) async throws -> HTTPResponse {
        let value = call.request.body.isEmpty ? nil : try trackedValue(call)
        let body = try TrackBody(call, value, [])
        return try await record(call, body, action, [(meter, 1)], isEnforced: true)
    }

    private func trackedValue(_ call: Call) throws -> JSONValue {
        let value = try body(of: call)
        guard value.kind == .object else { throw EventRejection.wrongType("", "an object") }
        return value
    }

    private func record(
        _ call: Call, _ body: TrackBody, _ action: String, _ amounts: [(Meter, Int)],
        model: ByteString = .empty, isEnforced: Bool
    ) async throws -> HTTPResponse {
        try requireReadiness()
        _ = try QueryParameters(call.request.query, allowed: [])
        let isTrusted = Access.writer.includes(call.principal.role)
        guard isTrusted || amounts.allSatisfy({ $0.1 <= UsageEvent.ownAmountMax }) else {
            throw HTTPProblem.unprocessable(
                "out_of_range", "a user or a guest tells at most 2^40 of itself at once")
        }
        var event = UsageEvent(
            subject: body.subject, action: ByteString(action), model: model, amounts: amounts,
            enforce: isEnforced)
        if let key = try idempotencyKey(call.request) {
            // Who is no back end must not take ids that others will use.
            let own = UsageEvent.ownID("track", body.subject, key)
            event = try event.named(isTrusted ? key : own.bytes)
        }
        let outcome = await withCheckedContinuation { continuation in
            engine.record(event) { continuation.resume(returning: $0) }
        }
        switch outcome {
        case .counted(let event): return .json(Self.body(event, isDuplicate: false))
        case .duplicate(let event): return .json(Self.body(event, isDuplicate: true))
        case .skipped(let reason): return .json(Self.body(skipped: event.id, reason))
        case .refused(let verdict): throw refusal(by: verdict)
        case .rejected(let rejection): throw rejection
        case .unavailable(let reason): throw MeteringError.undecided(reason: reason)
        case .postponed(let reason, let fault):
            throw MeteringError.postponed(reason: reason, fault: fault)
        }
    }

    /// A denial with what people are told of the limits in `detail`.
    private func refusal(by verdict: Verdict) -> HTTPProblem {
        let messages = verdict.violated.map(\.message)
        var problem = HTTPProblem(
            verdict.status == .creditsShort ? .paymentRequired : .tooManyRequests,
            code: verdict.denialCode,
            detail: messages.isEmpty ? verdict.denialDetail : messages.joined(separator: "; "),
            extra: [("violated-policies", verdict.violatedNames)])
        if !verdict.status.isDenial { problem.status = .unprocessableContent }
        problem.headers = texts.headers(verdict, taken: false)
        return problem
    }
}

/// The members of a body that tells what somebody did, read and checked.
private struct TrackBody {
    enum Member: String, CaseIterable {
        case fileSize = "file_size"
        case processingType = "processing_type"
        case processingTime = "processing_time"
        case outputFileSize = "output_file_size"
        case success
    }

    private(set) var subject: SubjectID
    private(set) var fileSize: Int?
    private(set) var processingType: ByteString?
    private(set) var processingMS: Int?
    private(set) var outputFileSize: Int?
    private(set) var success = true

    /// - Parameter value: nil for no body.
    init(_ call: API.Call, _ value: JSONValue?, _ allowed: [Member]) throws {
        var named: SubjectID?
        var members: [(Member, JSONValue)] = []
        if let value {
            for (key, member) in value.members where !member.isNull {
                if key == "user_id" || key == "guest_id" {
                    guard named == nil else {
                        throw EventRejection(
                            code: "ambiguous_subject", field: key.text,
                            detail: "send user_id or guest_id, not both")
                    }
                    named = try Self.subject(member, isGuest: key == "guest_id", key.text)
                } else if let known = allowed.first(where: { $0.rawValue == key.text }) {
                    members.append((known, member))
                } else {
                    let names = allowed.map(\.rawValue) + ["user_id", "guest_id"]
                    throw EventRejection(
                        status: 400, code: "unknown_field", field: String(key.text.prefix(64)),
                        detail: "this call has \(names.joined(separator: ", "))")
                }
            }
        }
        subject = try Self.subject(of: call, named)
        for (member, value) in members { try read(member, value) }
    }

    private mutating func read(_ member: Member, _ value: JSONValue) throws {
        switch member {
        case .fileSize: fileSize = try EventDecoder.size(value, member.rawValue)
        case .outputFileSize: outputFileSize = try EventDecoder.size(value, member.rawValue)
        case .processingTime: processingMS = try EventDecoder.seconds(value, member.rawValue)
        case .success:
            guard let flag = value.boolean else {
                throw EventRejection.wrongType(member.rawValue, "true or false")
            }
            success = flag
        case .processingType:
            guard let text = value.string else {
                throw EventRejection.wrongType(member.rawValue, "a string")
            }
            let type = ByteString(bytes: Array(text))
            guard Meter(processingType: type) != nil else {
                throw EventRejection(
                    code: "invalid_processing_type", field: member.rawValue,
                    detail: "1 to \(Meter.processingTypeBytesMax) of a-z, 0-9 and _")
            }
            processingType = type
        }
    }

    /// Whom it is about: whom a back end names, or else the caller.
    private static func subject(of call: API.Call, _ named: SubjectID?) throws -> SubjectID {
        guard let own = call.principal.subject else {
            guard let named else { throw EventRejection.required("user_id") }
            return named
        }
        guard named == nil || named == own else {
            throw HTTPProblem.forbidden("this is for what is one's own")
        }
        return own
    }

    private static func subject(
        _ value: JSONValue, isGuest: Bool, _ field: String
    ) throws -> SubjectID {
        guard let text = value.text ?? value.integer.map({ "\($0)" }) else {
            throw EventRejection.wrongType(field, "a string or an integer")
        }
        let subject = isGuest ? SubjectID(guest: Array(text.utf8)[...]) : SubjectID(text)
        guard let subject, (subject.kind == .guest) == isGuest else {
            throw EventRejection(
                code: "invalid_id", field: field,
                detail: "\(SubjectID.rule); only guests are called "
                    + "\(SubjectID.guestPrefix)…, and guest_id is what comes behind that")
        }
        return subject
    }
}
