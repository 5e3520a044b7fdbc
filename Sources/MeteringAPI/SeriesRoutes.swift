// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Sums over time.
extension API {
    static let seriesRoutes: [Route] = [
        Route(.get, "/v1/series", access: .oneself) { try await $0.series($1) }
    ]

    func series(_ call: Call) async throws -> HTTPResponse {
        let parameters = try QueryParameters(
            call.request.query,
            allowed: [
                "meter", "bucket", "from", "to", "group_by", "subject", "fill", "compare",
            ])
        let query = try seriesQuery(parameters, for: call.principal)
        let fills = try parameters.choice("fill", SeriesFill.self) != nil
        let compares = try parameters.choice("compare", SeriesComparison.self) != nil
        let bytes = try await back(queries.series(query, fills: fills, compares: compares))
        return .json(bytes)
    }

    func seriesQuery(
        _ parameters: QueryParameters, for principal: Principal
    ) throws -> SeriesQuery {
        let calendar = engine.reader.calendar
        let bucket = try parameters.choice("bucket", SeriesQuery.Bucket.self) ?? .day
        let now = engine.now.milliseconds
        let until = try parameters.instant("to", calendar, isEnd: true)?.milliseconds
        let from = try parameters.instant("from", calendar)?.milliseconds
        // What is begun counts, so that the last bucket is that of now.
        let end = until ?? now + 1
        let start = from ?? calendar.defaultStart(ofRangeTo: end, bucket)
        guard start < end else {
            throw HTTPProblem.badRequest("invalid_parameter", "to is not after from")
        }
        var query = SeriesQuery(try meter(parameters), bucket, start..<end)
        query.grouping = try parameters.choice("group_by", SeriesQuery.Grouping.self)
        query.subject = try subject(parameters, for: principal)
        return query
    }

    func meter(_ parameters: QueryParameters) throws(HTTPProblem) -> Meter {
        guard let name = parameters.text("meter") else {
            throw .badRequest(
                "invalid_parameter", "meter is missing: the name of what is summed up")
        }
        guard let meter = Meter(name: Array(name.utf8)) else {
            throw .badRequest(
                "invalid_parameter",
                "a meter's name is a letter a-z and at most 63 of a-z, 0-9 and _")
        }
        return meter
    }

    /// The subject that is asked about; of end users none but themselves, also when they name none.
    func subject(
        _ parameters: QueryParameters, for principal: Principal
    ) throws(HTTPProblem) -> SubjectID? {
        guard let text = parameters.text("subject") else { return principal.subject }
        guard let subject = SubjectID(existing: text) else { throw .invalidSubject }
        if let own = principal.subject, subject != own {
            throw .forbidden("this is for what is one's own")
        }
        return subject
    }
}

enum SeriesFill: String, CaseIterable {
    case zero
}

private enum SeriesComparison: String, CaseIterable {
    case previous
}

extension QueryParameters {
    /// One of some words; nil when it is not given.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type
    ) throws(HTTPProblem) -> Choice? where Choice.RawValue == String {
        guard let text = text(name) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw .badRequest("invalid_parameter", "\(name) is one of: \(names)")
        }
        return choice
    }
}

extension QueryEngine {
    /// A series as JSON, written on the engine's own loop.
    fileprivate func series(
        _ query: SeriesQuery, fills: Bool, compares: Bool
    ) async throws -> [UInt8] {
        let series = try await series(query)
        guard let total = series.total else { throw HTTPProblem.sumOverflow }
        var json = JSONWriter(capacity: 512 + 120 * series.buckets.count)
        json.beginObject()
        json.key("meter")
        json.string(query.meter.name)
        if let subject = query.subject {
            json.key("subject")
            json.string(bytes: subject.id.bytes)
        }
        json.key("bucket")
        json.string(query.bucket.rawValue)
        json.key("zone")
        json.string(calendar.zone)
        json.key("buckets")
        json.beginArray()
        for (bucket, offset) in zip(series.buckets, series.offsets)
        where fills && !bucket.isLacking || !bucket.isEmpty {
            json.bucket(bucket, offset, query)
        }
        json.endArray()
        json.key("total")
        json.sums(total)
        var warnings = series.warnings
        if compares {
            var before = query
            before.range = calendar.previous(query.range, query.bucket)
            before.grouping = nil
            let previous = try await self.series(before, countsSubjects: false)
            guard let sums = previous.total else { throw HTTPProblem.sumOverflow }
            json.key("previous")
            json.comparison(sums, before.range, calendar, with: total.value)
            warnings += previous.warnings.filter { !warnings.contains($0) }
        }
        json.key("warnings")
        json.strings(warnings)
        json.endObject()
        return json.bytes
    }
}

extension HTTPProblem {
    static let sumOverflow = HTTPProblem.unprocessable(
        "counter_overflow", "the sum passes 9007199254740991; narrow from and to")
}

extension JSONWriter {
    mutating func strings(_ texts: [String]) {
        beginArray()
        for text in texts { string(text) }
        endArray()
    }

    fileprivate mutating func sums(_ sums: (value: Int, eventCount: Int)) {
        beginObject()
        key("value")
        integer(sums.value)
        key("events")
        integer(sums.eventCount)
        endObject()
    }

    fileprivate mutating func bucket(_ bucket: SeriesBucket, _ offset: Int, _ query: SeriesQuery) {
        beginObject()
        key("start")
        string(bucket.start.text(offset: offset))
        key("value")
        integer(bucket.value)
        key("events")
        integer(bucket.eventCount)
        if query.subject == nil {
            key("subjects")
            if let subjects = bucket.subjects { integer(subjects.count) } else { null() }
            if bucket.subjects?.isEstimated == true {
                key("subjects_estimated")
                boolean(true)
            }
        }
        if let grouping = query.grouping {
            key("groups")
            beginArray()
            for group in bucket.groups {
                beginObject()
                key(bytes: grouping.rawValue.utf8)
                if group.name.bytes.isEmpty { null() } else { string(bytes: group.name.bytes) }
                key("value")
                integer(group.value)
                key("events")
                integer(group.eventCount)
                endObject()
            }
            endArray()
        }
        endObject()
    }

    /// The sums of the period before, and the change since in per cent: null when that was 0.
    fileprivate mutating func comparison(
        _ sums: (value: Int, eventCount: Int), _ range: Range<Int>, _ calendar: WorkspaceCalendar,
        with value: Int
    ) {
        beginObject()
        key("from")
        time(range.lowerBound, calendar)
        key("to")
        time(range.upperBound, calendar)
        key("value")
        integer(sums.value)
        key("events")
        integer(sums.eventCount)
        key("change_percent")
        if let change = percentChange(from: sums.value, to: value) {
            string(change)
        } else {
            null()
        }
        endObject()
    }

    private mutating func time(_ milliseconds: Int, _ calendar: WorkspaceCalendar) {
        let time = Timestamp(milliseconds: milliseconds)
        string(time.text(offset: calendar.offset(at: milliseconds / 1000)))
    }
}

/// How much one value is above another in per cent, with two decimals, rounded half away from 0; nil
/// from 0.
func percentChange(from old: Int, to new: Int) -> String? {
    guard old != 0 else { return nil }
    // Hundredths of a per cent; products of two such integers fit into 128 bits.
    let scaled = (Int128(new) - Int128(old)) * 10_000
    let divisor = Int128(old).magnitude
    let magnitude = (scaled.magnitude + divisor / 2) / divisor
    let digits = String(magnitude % 100)
    return (scaled < 0 && magnitude > 0 ? "-" : "") + "\(magnitude / 100)."
        + (digits.count == 1 ? "0" : "") + digits
}
