// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// All that a workspace has of something, as a file.
extension API {
    static let exportRoutes: [Route] = [
        Route(.get, "/v1/export/events", access: .reader) { try await $0.exportEvents($1) },
        Route(.get, "/v1/export/balances", access: .reader) { try await $0.exportBalances($1) },
        Route(.get, "/v1/export/leaderboard", access: .reader) {
            try await $0.exportLeaderboard($1)
        },
        Route(.get, "/v1/export/series", access: .reader) { try await $0.exportSeries($1) },
    ]

    private func exportEvents(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["format"] + EventQuery.filters())
        let writer = ExportWriter(try ExportFormat(query), columns: Self.eventColumns)
        let asked = try EventQuery(query, calendar: engine.reader.calendar)
        return try await export("events", call, writer) { [queries] in
            try await back(queries.write(asked, to: $0, after: $1))
        }
    }

    private func exportBalances(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["format"])
        let writer = ExportWriter(try ExportFormat(query), columns: Self.balanceColumns)
        let listing = AccountListing(queries)
        return try await export("balances", call, writer) { writer, _ in
            try await listing.write(to: writer)
        }
    }

    private func exportLeaderboard(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["format", "meter", "window", "limit"])
        let writer = ExportWriter(try ExportFormat(query), columns: ["rank", "subject", "value"])
        let limit = try query.integer("limit", in: 1...1_000_000_000, default: 1_000_000_000)
        guard let meter = query.text("meter").flatMap({ Meter(name: Array($0.utf8)) }),
            engine.reader.isRanked(meter)
        else {
            throw HTTPProblem.badRequest(
                "invalid_parameter", "meter is one that has leaderboards")
        }
        let (window, _) = try leaderboardWindow(query)
        return try await export("leaderboard", call, writer) { [queries] in
            try await back(queries.write(meter, window, limit, to: $0, after: $1))
        }
    }

    /// A row for each bucket, or for each action or model of it.
    private func exportSeries(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query,
            allowed: ["format", "meter", "bucket", "from", "to", "group_by", "subject", "fill"])
        let writer = ExportWriter(try ExportFormat(query), columns: Self.seriesColumns)
        let asked = try seriesQuery(query, for: call.principal)
        let fills = try query.choice("fill", SeriesFill.self) != nil
        return try await export("series", call, writer) { [queries] writer, cursor in
            let start = cursor.flatMap { Int($0) } ?? asked.range.lowerBound
            // Minutes are kept for hours, of which no part comes near the most that an answer may have.
            let part =
                asked.bucket == .minute ? asked : asked.part(from: start, queries.calendar)
            let end = part.range.upperBound
            let written = try await back(queries.write(part, fills: fills, to: writer))
            return (written, end < asked.range.upperBound ? "\(end)" : nil)
        }
    }

    static let seriesColumns = [
        "start", "action", "model", "value", "events", "subjects", "subjects_estimated",
    ]

    /// Fixed, so that programs may count on them: what is of no standard meter stands in `other`.
    static let eventColumns =
        ["id", "time", "subject", "action", "model", "description", "credits", "cost"]
        + Meter.standard.map(\.name) + ["other", "reverses"]

    static let balanceColumns = [
        "subject", "current_balance", "held", "monthly_allowance", "current_month_consumed",
        "total_consumed", "next_reset_at",
    ]
}

extension QueryEngine {
    /// About how many events are read at a time.
    private static let partCount = 1000

    /// Writes a part of the events, on the engine's own loop.
    fileprivate func write(
        _ query: EventQuery, to writer: ExportWriter, after cursor: String?
    ) async throws -> (ExportWriter, next: String?) {
        let part = try await eventPart(query, count: Self.partCount, after: cursor)
        var writer = writer
        for event in part.events { writer.row(event.cells) }
        return (writer, part.next)
    }

    /// Writes a page of a leaderboard.
    fileprivate func write(
        _ meter: Meter, _ window: LeaderboardWindow, _ limit: Int, to writer: ExportWriter,
        after cursor: String?
    ) async throws -> (ExportWriter, next: String?) {
        let page = try await leaderboard(
            meter, window, limit: Self.partCount, after: cursor.flatMap { LeaderboardCursor($0) })
        // A file has no place to say so, and must not look whole.
        guard page.warnings.isEmpty else { throw HTTPProblem.incomplete(page.warnings) }
        var writer = writer
        var rank = page.firstRank
        for entry in page.entries where rank <= limit {
            writer.row([.integer(rank), .text(entry.subject), .integer(entry.value)])
            rank += 1
        }
        return (writer, rank <= limit ? page.next?.text : nil)
    }

    /// Writes a part of a series.
    fileprivate func write(
        _ query: SeriesQuery, fills: Bool, to writer: ExportWriter
    ) async throws -> ExportWriter {
        let series = try await series(query, countsSubjects: query.grouping == nil)
        // A file has no place to say so, and must not look whole.
        guard series.isComplete else { throw HTTPProblem.incomplete(series.warnings) }
        var writer = writer
        for (bucket, offset) in zip(series.buckets, series.offsets)
        where fills || !bucket.isEmpty {
            let start = ExportCell.time(bucket.start, offset: offset)
            guard let grouping = query.grouping else {
                let (subjects, isTold) = (bucket.subjects, query.subject == nil)
                writer.row([
                    start, .none, .none, .integer(bucket.value), .integer(bucket.eventCount),
                    isTold ? subjects.map { .integer($0.count) } ?? .none : .none,
                    isTold ? subjects.map { .flag($0.isEstimated) } ?? .none : .none,
                ])
                continue
            }
            for group in bucket.groups {
                let name = ExportCell.some(group.name)
                writer.row([
                    start, grouping == .action ? name : .none, grouping == .model ? name : .none,
                    .integer(group.value), .integer(group.eventCount), .none, .none,
                ])
            }
        }
        return writer
    }
}

extension AccountListing {
    /// Writes some accounts, on the queries' loop.
    fileprivate func write(to writer: ExportWriter) async throws -> (ExportWriter, next: String?) {
        var writer = writer
        guard let accounts = try await next() else { return (writer, nil) }
        for account in accounts {
            writer.row([
                .text(account.subject), .micros(account.balance), .micros(account.held),
                .micros(account.monthlyAllowance), .micros(account.monthConsumed),
                .micros(account.totalConsumed), account.nextReset.map { .time($0) } ?? .none,
            ])
        }
        return (writer, "")
    }
}

extension HistoryEvent {
    /// As `API.eventColumns` names them.
    fileprivate var cells: [ExportCell] {
        var cells: [ExportCell] = [
            .text(recorded.id), .time(recorded.time), .text(recorded.subject),
            .text(recorded.action), .some(recorded.model), .some(recorded.description),
            credits.map { .micros($0) } ?? .none, cost.map { .micros($0) } ?? .none,
        ]
        var others: [(meter: Meter, total: Int)] = []
        let start = cells.count
        cells += [ExportCell](repeating: .none, count: Meter.standard.count + 1)
        for (meter, amount) in recorded.amounts {
            if let code = meter.code {
                cells[start + code - 1] = .integer(amount)
            } else {
                others.append((meter, amount))
            }
        }
        if !others.isEmpty {
            var json = JSONWriter()
            json.meters(others)
            cells[cells.count - 1] = .json(json.bytes)
        }
        cells.append(reverses.map { .text($0) } ?? .none)
        return cells
    }
}

extension ExportCell {
    /// Text, or nothing where it is empty.
    fileprivate static func some(_ text: ByteString) -> ExportCell {
        text.bytes.isEmpty ? .none : .text(text)
    }
}
