// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// What users and guests did with files, and what they may still do: docs/surfaces.md, D.
extension API {
    static let guestRoutes: [Route] = [
        Route(.get, "/usage/me", access: .anyone) { try await $0.ownActivity($1) },
        Route(.get, "/usage/limits", access: .anyone) { try await $0.ownLimits($1) },
        Route(.get, "/usage/admin/user/{user_id}", access: .admin) {
            try await $0.activityOfUser($1)
        },
        Route(.get, "/admin/analytics", access: .admin) { try await $0.analytics($1) },
    ]

    /// Whether clients of surface D call this path.
    static func isOfGuestClients(_ path: String) -> Bool {
        path.hasPrefix("/usage/") || path == "/admin/analytics"
    }

    /// The limits that these clients know.
    private static let limitNames = ["files_per_day", "storage_mb", "processing_minutes"]

    private func ownActivity(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return try await answer(with: try caller(call))
    }

    private func activityOfUser(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return try await answer(with: try subject(call, at: 0))
    }

    private func answer(with subject: SubjectID) async throws -> HTTPResponse {
        let activity = try await back(queries.activity(of: subject))
        var json = JSONWriter(capacity: 1024)
        json.activity(activity, of: subject)
        return .json(json.bytes)
    }

    private func ownLimits(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let subject = try caller(call)
        // All that there are: an administrator may have put others in their place.
        let verdict = try await engine.decide(Decision(.check, subject: subject))
        var json = JSONWriter(capacity: 1024)
        json.beginObject()
        for name in Self.limitNames {
            json.key(bytes: name.utf8)
            json.limit(verdict.limits.first { $0.limit.name == name })
        }
        json.endObject()
        return .json(json.bytes)
    }

    private func analytics(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let activity = try await back(queries.activity())
        let sums = activity.sums
        var json = JSONWriter(capacity: 512)
        json.beginObject()
        json.key("total_users")
        json.integer(activity.userCount)
        json.key("total_guests")
        json.integer(activity.guestCount)
        json.key("total_files_processed")
        json.integer(sums.filesProcessed)
        json.key("total_storage_mb")
        json.ratio(sums.inputBytes, to: bytesPerMB)
        json.key("total_processing_minutes")
        json.ratio(sums.processingMS, to: 60_000)
        json.types(sums)
        json.warnings(activity.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    /// The end user or guest that calls.
    private func caller(_ call: Call) throws(HTTPProblem) -> SubjectID {
        guard let subject = call.principal.subject else {
            throw .forbidden("this is for end users and guests, who see what is their own")
        }
        return subject
    }
}

extension HTTPProblem {
    /// As clients of surface D know it.
    static let notAuthenticated = unauthorized("Not authenticated")
}

private let bytesPerMB = 1_048_576

extension LimitState {
    /// What one unit of the limit is told as: 1 MB, 1 minute, 1 of anything else.
    private var unit: Int {
        switch limit.meter {
        case .inputBytes, .outputBytes: bytesPerMB
        case .processingMS: 60_000
        default: 1
        }
    }

    fileprivate func text(_ amount: Int) -> String {
        RoundedDecimal.text(amount, over: unit, places: 2)
    }

    /// Whether something more may be used.
    fileprivate var hasRoom: Bool { most.map { used < $0 } ?? true }

    /// What people are told of the limit.
    var message: String {
        guard let most else { return "\(limit.name): no limit" }
        let state = "\(limit.name): \(text(used)) of \(text(most)) used"
        if isViolated, hasRoom { return state + ", and \(text(asked)) more is over the limit" }
        guard !hasRoom else { return state }
        return state + ", the limit is reached" + (resetsAt.map { " until \($0.text)" } ?? "")
    }
}

extension JSONWriter {
    /// A quotient to two places.
    fileprivate mutating func ratio(_ dividend: Int, to divisor: Int) {
        raw(RoundedDecimal.text(dividend, over: divisor, places: 2).utf8)
    }

    fileprivate mutating func types(_ activity: SubjectActivity) {
        key("processing_types_breakdown")
        beginObject()
        for (name, count) in activity.types {
            key(bytes: name.bytes)
            integer(count)
        }
        endObject()
    }

    fileprivate mutating func activity(_ activity: SubjectActivity, of subject: SubjectID) {
        let ended = activity.filesProcessed.addingReportingOverflow(activity.filesFailed)
            .partialValue
        beginObject()
        key("total_files_uploaded")
        integer(activity.filesUploaded)
        key("total_files_processed")
        integer(activity.filesProcessed)
        key("total_files_failed")
        integer(activity.filesFailed)
        key("total_files_downloaded")
        integer(activity.filesDownloaded)
        key("total_input_size_mb")
        ratio(activity.inputBytes, to: bytesPerMB)
        key("total_output_size_mb")
        ratio(activity.outputBytes, to: bytesPerMB)
        key("average_file_size_mb")
        average(activity.inputBytes, of: activity.filesUploaded, unit: bytesPerMB)
        key("total_processing_time_minutes")
        ratio(activity.processingMS, to: 60_000)
        key("average_processing_time_seconds")
        average(activity.processingMS, of: ended, unit: 1000)
        types(activity)
        key("success_rate_percent")
        raw(
            RoundedDecimal.text(
                Int128(activity.filesProcessed) * 100, over: Int128(ended), places: 2
            ).utf8)
        key("first_upload_at")
        time(activity.times.firstUpload)
        key("last_upload_at")
        time(activity.times.lastUpload)
        key("last_download_at")
        time(activity.times.lastDownload)
        key("last_api_call_at")
        time(activity.times.lastCall)
        key("api_calls_count")
        integer(activity.apiCalls)
        key("user_type")
        string(subject.kind == .guest ? "guest" as StaticString : "authenticated")
        endObject()
    }

    /// What one of some comes to, to two places; 0 of none.
    private mutating func average(_ sum: Int, of count: Int, unit: Int) {
        raw(RoundedDecimal.text(Int128(sum), over: Int128(count) * Int128(unit), places: 2).utf8)
    }

    /// - Parameter state: nil when the workspace has no such limit.
    fileprivate mutating func limit(_ state: LimitState?) {
        beginObject()
        key("within_limit")
        boolean(state?.hasRoom ?? true)
        key("limit")
        if let state, let most = state.most { raw(state.text(most).utf8) } else { null() }
        key("used")
        if let state { raw(state.text(state.used).utf8) } else { null() }
        key("remaining")
        if let state, state.most != nil {
            raw(state.text(state.remaining(taken: false)).utf8)
        } else {
            null()
        }
        key("resets_at")
        time(state?.resetsAt)
        key("message")
        string(state?.message ?? "no limit")
        endObject()
    }
}
