// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

extension API {
    /// The most events of one request.
    static let batchCountMax = 10_000

    static let eventRoutes: [Route] = [
        // Posting is the hot path: `respondNow` answers it without the router, which knows it all
        // the same: for `Allow`, and for whoever has no reply to fill.
        Route(.post, "/v1/events", access: .writer) { try await $0.recordEvents($1) }
    ]

    /// An item of a body: an event to count, or why it is none.
    private enum Item {
        case event(UsageEvent)
        case rejected(id: [UInt8]?, EventRejection)

        /// Whether it would count twice when it is sent twice.
        var isUnnamed: Bool {
            if case .event(let event) = self { event.id == nil } else { false }
        }
    }

    /// `POST /v1/events`: one object, an array, or NDJSON.
    func recordEvents(_ call: Call, for recipient: Recipient) {
        do {
            try record(call, for: recipient)
        } catch {
            send(problem(error).response(at: call.request.path), to: recipient)
        }
    }

    private func recordEvents(_ call: Call) async throws -> HTTPResponse {
        await response { recordEvents(call, for: $0) }
    }

    private func record(_ items: [Item], of request: HTTPRequest, for recipient: Recipient) {
        let events = items.compactMap { item -> UsageEvent? in
            if case .event(let event) = item { event } else { nil }
        }
        engine.record(events) { [self, path = request.path] in
            send(answer(items, $0, at: path), to: recipient)
        }
    }

    /// Throws before anything is counted, or sees to it that the recipient is answered.
    private func record(_ call: Call, for recipient: Recipient) throws {
        let request = call.request
        try requireReadiness()
        var isBackfill = false
        if request.query != nil {
            isBackfill = try QueryParameters(request.query, allowed: ["backfill"]).flag("backfill")
            if isBackfill, !Access.admin.includes(call.principal.role) {
                throw HTTPProblem.forbidden(to: .admin)
            }
        }
        let isLines = try isNDJSON(request)
        try requirePlain(request)
        let key = try idempotencyKey(request)
        if isLines {
            guard key == nil else { throw HTTPProblem.keyOfSeveral }
            return record(try lines(request, isBackfill), of: request, for: recipient)
        }
        let value = try json.read(request.body)
        if value.kind == .array {
            guard key == nil else { throw HTTPProblem.keyOfSeveral }
            guard (1...Self.batchCountMax).contains(value.count) else {
                throw HTTPProblem.batchSize
            }
            return record(
                value.elements.map { item($0, isBackfill) }, of: request, for: recipient)
        }
        var event = try EventDecoder.decode(value, labels)
        if let key { event = try event.named(key) }
        try check(event, isBackfill)
        engine.record(event) { [self, id = event.id, path = request.path] in
            send(answer($0, to: id, at: path), to: recipient)
        }
    }

    /// One event a line; empty lines are passed over. A line that is no JSON spoils no other.
    private func lines(_ request: HTTPRequest, _ isBackfill: Bool) throws -> [Item] {
        var items: [Item] = []
        var number = 0
        try request.body.withUnsafeBytes { body in
            // In place, and with memchr: a body may hold thousands of lines.
            var rest = body
            while let base = rest.baseAddress, !rest.isEmpty {
                let length = memchr(base, 0x0a, rest.count).map { UnsafeRawPointer($0) - base }
                var line = UnsafeRawBufferPointer(start: base, count: length ?? rest.count)
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(line.count + 1))
                number += 1
                if line.last == 0x0d { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
                guard items.count < Self.batchCountMax else { throw HTTPProblem.batchSize }
                do throws(JSONError) {
                    items.append(item(try json.read(line), isBackfill))
                } catch {
                    let rejection = EventRejection(
                        status: 400, code: error.code.rawValue, field: "line \(number)",
                        detail: error.explanation)
                    items.append(.rejected(id: nil, rejection))
                }
            }
        }
        guard !items.isEmpty else { throw HTTPProblem.batchSize }
        return items
    }

    private func item(_ value: JSONValue, _ isBackfill: Bool) -> Item {
        do throws(EventRejection) {
            let event = try EventDecoder.decode(value, labels)
            try check(event, isBackfill)
            return .event(event)
        } catch {
            return .rejected(id: value["id"]?.string.map { Array($0) }, error)
        }
    }

    private func check(_ event: UsageEvent, _ isBackfill: Bool) throws(EventRejection) {
        if let rejection = engine.rejection(of: event, isBackfill: isBackfill) { throw rejection }
    }

    private static let jsonType = Array("application/json".utf8)

    func isNDJSON(_ request: HTTPRequest) throws -> Bool {
        // Nearly all requests, without making strings.
        let isJSON = request.headers.withBytes(of: "content-type") { type in
            type.count == Self.jsonType.count
                && type.baseAddress.map { memcmp($0, Self.jsonType, type.count) } == 0
        }
        if isJSON == true { return false }
        guard let type = request.headers.value(of: "content-type") else {
            throw HTTPProblem.unsupportedMediaType(
                "send Content-Type: application/json or application/x-ndjson")
        }
        let parts = type.split(separator: ";").map { $0.trimmingSpaces().lowercased() }
        let isUTF8 = parts.dropFirst().allSatisfy {
            $0 == "charset=utf-8" || $0 == "charset=\"utf-8\""
        }
        switch parts.first {
        case "application/json" where isUTF8: return false
        case "application/x-ndjson" where isUTF8: return true
        default:
            throw HTTPProblem.unsupportedMediaType(
                "send application/json or application/x-ndjson, in UTF-8")
        }
    }

    /// The `Idempotency-Key` header, quoted (as its draft says) or bare (as clients send it).
    func idempotencyKey(_ request: HTTPRequest) throws -> [UInt8]? {
        guard var key = request.headers.withBytes(of: "idempotency-key", { Array($0) }) else {
            return nil
        }
        if key.count >= 2, key.first == UInt8(ascii: "\""), key.last == UInt8(ascii: "\"") {
            key = Array(key.dropFirst().dropLast())
        }
        guard (1...255).contains(key.count),
            key.allSatisfy({
                (0x20...0x7e).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
            })
        else {
            throw HTTPProblem.badRequest(
                "invalid_idempotency_key", "Idempotency-Key is 1 to 255 visible ASCII characters")
        }
        return key
    }
}

// MARK: Answers

extension API {
    private func answer(
        _ outcome: EventOutcome, to id: ByteString?, at path: String
    ) -> HTTPResponse {
        switch outcome {
        case .counted(let event): return .json(Self.body(event, isDuplicate: false))
        case .duplicate(let event): return .json(Self.body(event, isDuplicate: true))
        case .skipped(let reason): return .json(Self.body(skipped: id, reason))
        case .refused(let verdict): return denial(of: verdict, at: path)
        case .rejected(let rejection): return HTTPProblem(rejection).response(at: path)
        case .postponed(let reason, let fault):
            return HTTPProblem.postponed(reason, fault).response(at: path)
        case .unavailable(let reason):
            return HTTPProblem.outcomeUnknown(
                "\(reason); whether the event was counted is not known: send it again with the same id"
            ).response(at: path)
        }
    }

    /// - Parameter hold: the state of the hold that the event settled.
    static func body(
        _ event: CountedEvent, isDuplicate: Bool, _ hold: HoldState? = nil
    ) -> [UInt8] {
        var json = JSONWriter()
        // The same for each event but for two places, so it is copied in two pieces.
        json.piece(#"{"id":"#)
        json.string(bytes: event.id.bytes)
        json.piece(
            isDuplicate
                ? #","duplicate":true,"status":"counted","totals":{"#
                : #","duplicate":false,"status":"counted","totals":{"#)
        for (meter, total) in event.totals {
            if let name = meter.staticName {
                json.key(name)
            } else {
                json.key(bytes: meter.name.utf8)
            }
            json.integer(total)
        }
        if let balance = event.balance {
            json.piece(#"},"balance":"#)
            json.micros(balance)
        } else {
            json.piece("}")
        }
        if let hold {
            if let credits = event.credits {
                json.piece(#","credits":"#)
                json.micros(credits)
            }
            json.piece(#","state":"#)
            json.string(hold.name)
        }
        json.piece("}")
        return json.bytes
    }

    /// - Parameter hold: the state of the hold that the event was to settle.
    static func body(
        skipped id: ByteString?, _ reason: SkipReason, _ hold: HoldState? = nil
    ) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        if let id { json.string(bytes: id.bytes) } else { json.null() }
        json.piece(#","duplicate":false,"status":"skipped","reason":"#)
        json.string(reason.name)
        if let hold {
            json.piece(#","state":"#)
            json.string(hold.name)
        }
        json.piece("}")
        return json.bytes
    }

    private func answer(
        _ items: [Item], _ outcomes: [EventOutcome], at path: String
    ) -> HTTPResponse {
        var rest = outcomes[...]
        var counts = (counted: 0, duplicates: 0, skipped: 0, failed: 0)
        var isAnythingDone = false
        // Why it is not known of one of them, or why one has to be sent again.
        var unavailable: String?
        var postponed: (reason: String, fault: StorageFault?)?
        var results = JSONWriter()
        results.beginArray()
        for item in items {
            switch item {
            case .rejected(let id, let rejection):
                counts.failed += 1
                Self.write(id, "failed", rejection.code, rejection.explanation, to: &results)
            case .event(let event):
                guard let outcome = rest.popFirst() else { continue }
                switch outcome {
                case .unavailable(let reason): unavailable = unavailable ?? reason
                case .postponed(let reason, let fault): postponed = postponed ?? (reason, fault)
                default: isAnythingDone = true
                }
                switch outcome {
                case .counted(let counted):
                    counts.counted += 1
                    Self.write(counted.id.bytes, "counted", to: &results)
                case .duplicate(let counted):
                    counts.duplicates += 1
                    Self.write(counted.id.bytes, "duplicate", to: &results)
                case .skipped(let reason):
                    counts.skipped += 1
                    Self.write(event.id?.bytes, "skipped", reason: reason, to: &results)
                case .refused(let verdict):
                    counts.failed += 1
                    Self.write(
                        event.id?.bytes, "failed", verdict.denialCode, verdict.denialDetail,
                        to: &results)
                case .rejected(let rejection):
                    counts.failed += 1
                    Self.write(
                        event.id?.bytes, "failed", rejection.code, rejection.explanation,
                        to: &results)
                case .unavailable(let reason):
                    counts.failed += 1
                    Self.write(
                        event.id?.bytes, "failed", HTTPProblem.outcomeUnknownCode,
                        "\(reason); whether it was counted is not known", to: &results)
                case .postponed(let reason, let fault):
                    counts.failed += 1
                    Self.write(
                        event.id?.bytes, "failed", HTTPProblem.unavailableCode(fault),
                        "\(reason); it was not counted: send it again", to: &results)
                }
            }
        }
        results.endArray()
        // When all have ids, sending the whole again is safe and leaves nothing to sort out. When nothing
        // is known to be done of any, there is nothing to sort out either.
        if !isAnythingDone || !items.contains(where: \.isUnnamed) {
            if let unavailable {
                return HTTPProblem.outcomeUnknown(
                    "\(unavailable); whether the events were counted is not known: send them again "
                        + "with the same ids"
                ).response(at: path)
            }
            if let postponed {
                let detail =
                    isAnythingDone
                    ? "\(postponed.reason); not all were counted: send them again with the same ids"
                    : "\(postponed.reason); none was counted: send them again"
                return HTTPProblem.unavailable(detail, postponed.fault).response(at: path)
            }
        }
        var json = JSONWriter()
        json.beginObject()
        json.key("counted")
        json.integer(counts.counted)
        json.key("duplicates")
        json.integer(counts.duplicates)
        json.key("skipped")
        json.integer(counts.skipped)
        json.key("failed")
        json.integer(counts.failed)
        json.key("results")
        json.raw(results.bytes)
        json.endObject()
        return .json(json.bytes)
    }

    private static func write(
        _ id: [UInt8]?, _ status: StaticString, _ code: String? = nil, _ detail: String = "",
        reason: SkipReason? = nil, to json: inout JSONWriter
    ) {
        json.beginObject()
        json.key("id")
        if let id { json.string(bytes: id) } else { json.null() }
        json.key("status")
        json.string(status)
        if let reason {
            json.key("reason")
            json.string(reason.name)
        }
        if let code {
            json.key("error")
            json.beginObject()
            json.key("code")
            json.string(code)
            json.key("detail")
            json.string(detail)
            json.endObject()
        }
        json.endObject()
    }
}

extension HTTPProblem {
    static func unsupportedMediaType(_ detail: String) -> HTTPProblem {
        HTTPProblem(
            .unsupportedMediaType, code: "unsupported_media_type",
            title: "Unsupported Media Type", detail: detail)
    }

    /// Passed over, it would leave a client in the belief that it may send the events again.
    static let keyOfSeveral = HTTPProblem.badRequest(
        "invalid_idempotency_key",
        "Idempotency-Key names one event; give each event of a batch an id of its own")

    static let batchSize = HTTPProblem.unprocessable(
        "batch_size", "a request holds 1 to \(API.batchCountMax) events")
}

extension UsageEvent {
    /// The event under an id that came in a header; it must not contradict one in the body.
    func named(_ key: [UInt8]) throws -> UsageEvent {
        if let id, id.bytes != key {
            throw EventRejection(
                status: 422, code: "invalid_id", field: "id",
                detail: "the body's id and the Idempotency-Key differ; send one of them")
        }
        var event = self
        event.id = try key.withUnsafeBufferPointer { try EventDecoder.eventID($0) }
        return event
    }
}
