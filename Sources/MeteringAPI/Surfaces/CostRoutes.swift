// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// What a workspace was charged for messages: docs/surfaces.md, C.
extension API {
    static let costRoutes: [Route] = [
        Route(.get, "/api/usage/stats/{workspace}", access: .reader) { try await $0.costStats($1) },
        Route(.get, "/api/usage/dashboard/{workspace}", access: .reader) {
            try await $0.costDashboard($1)
        },
        Route(.get, "/api/usage/summary/{workspace}", access: .reader) {
            try await $0.costSummary($1)
        },
        Route(.get, "/api/usage/export/{workspace}", access: .reader) {
            try await $0.exportCosts($1)
        },
    ]

    /// What is told when nothing else is asked for.
    private static let dayCountDefault = 30
    private static let exportColumns = [
        "id", "date", "clientId", "clientName", "clientPhone", "price",
    ]

    private func costStats(_ call: Call) async throws -> HTTPResponse {
        let api = try await workspaceNamed(by: call)
        let query = try QueryParameters(call.request.query, allowed: ["startDate", "endDate"])
        return .json(try await back(api.queries.costStats(CostQuery(try api.days(query)))))
    }

    private func costDashboard(_ call: Call) async throws -> HTTPResponse {
        let api = try await workspaceNamed(by: call)
        let query = try QueryParameters(call.request.query, allowed: ["period"])
        let count = try query.integer("period", in: 1...365, default: Self.dayCountDefault)
        return .json(
            try await back(api.queries.costDashboard(CostQuery(api.lastDays(count), monthCount: 4)))
        )
    }

    private func costSummary(_ call: Call) async throws -> HTTPResponse {
        let api = try await workspaceNamed(by: call)
        _ = try QueryParameters(call.request.query, allowed: [])
        let query = CostQuery(api.lastDays(Self.dayCountDefault), clientCount: 0)
        return .json(try await back(api.queries.costSummary(query)))
    }

    /// A row for each event that had messages or a cost, the last counted first.
    private func exportCosts(_ call: Call) async throws -> HTTPResponse {
        let api = try await workspaceNamed(by: call)
        let query = try QueryParameters(
            call.request.query, allowed: ["format", "startDate", "endDate"])
        let writer = ExportWriter(try ExportFormat(query), columns: Self.exportColumns)
        let days = try api.days(query)
        let calendar = api.engine.reader.calendar
        var asked = EventQuery()
        let end = calendar.start(of: CivilDay(number: days.upperBound.number + 1))
        asked.from = Timestamp(milliseconds: calendar.start(of: days.lowerBound) * 1000)
        asked.until = Timestamp(milliseconds: end * 1000)
        return try await api.export("usage", call, writer) { [queries = api.queries, asked] in
            try await back(queries.writeCosts(asked, to: $0, after: $1))
        }
    }

    /// The API of the workspace that the path names: the caller's own, or for the operator any.
    private func workspaceNamed(by call: Call) async throws -> API {
        let own = call.principal.workspace
        // Nobody else's workspace is even looked for, so that none can be told from nothing.
        guard call.principal.role == .operator || call.parameters[0] == own.text else {
            throw HTTPProblem.noSuchWorkspace
        }
        guard call.parameters[0] != own.text else { return self }
        guard let id = WorkspaceID(call.parameters[0]) else { throw HTTPProblem.noSuchWorkspace }
        if store.directory.settings(of: id) == nil { try await store.refresh() }
        try store.requireReadable(id)
        let api = try sibling(id)
        await back(api.queries.waitUntilReady())
        return api
    }

    private func lastDays(_ count: Int) -> ClosedRange<CivilDay> {
        let today = engine.reader.today
        return CivilDay(number: today.number - count + 1)...today
    }

    /// `startDate` and `endDate`, both inclusive, as dates, or as instants, which stand for the days
    /// that they are on.
    private func days(_ query: QueryParameters) throws(HTTPProblem) -> ClosedRange<CivilDay> {
        let calendar = engine.reader.calendar
        func day(_ name: String) throws(HTTPProblem) -> CivilDay? {
            if let day = query.text(name).flatMap({ CivilDay($0) }) { return day }
            return try query.instant(name, calendar).map { calendar.day(of: $0) }
        }
        let last = try day("endDate") ?? engine.reader.today
        let first =
            try day("startDate") ?? CivilDay(number: last.number - Self.dayCountDefault + 1)
        guard first <= last else {
            throw .badRequest("invalid_parameter", "endDate is before startDate")
        }
        // The zone may show another year than UTC.
        guard CivilDay.writable.contains(first), CivilDay.writable.contains(last) else {
            throw .badRequest("invalid_parameter", "days are of the years 1 to 9999")
        }
        return first...last
    }
}

extension QueryEngine {
    private static let partCount = 1000

    /// Answers are written on the engine's own loop.
    fileprivate func costStats(_ query: CostQuery) async throws -> [UInt8] {
        let report = try await costs(query)
        var json = JSONWriter(capacity: 2048 + 64 * report.days.count)
        json.beginObject()
        json.sums(report.total, cost: "totalCost", messages: "totalMessages")
        json.key("dailyUsage")
        json.days(report)
        json.key("peakHours")
        json.hours(report)
        json.key("topClients")
        json.clients(report)
        json.comparison(report)
        json.peaks(report)
        json.averageCost(report)
        json.key("averageDailyMessages")
        json.raw(
            RoundedDecimal.text(report.total.messages, over: report.days.count, places: 4).utf8)
        json.warnings(report.warnings)
        json.endObject()
        return json.bytes
    }

    fileprivate func costDashboard(_ query: CostQuery) async throws -> [UInt8] {
        let report = try await costs(query)
        var json = JSONWriter(capacity: 2048 + 64 * report.days.count)
        json.beginObject()
        json.key("overview")
        json.overview(report)
        json.key("dailyTrend")
        json.days(report)
        json.key("peakHours")
        json.hours(report)
        json.key("topClients")
        json.clients(report)
        json.key("insights")
        json.beginObject()
        json.peaks(report)
        json.endObject()
        json.key("months")
        json.beginArray()
        for (first, sums) in report.months {
            json.beginObject()
            json.key("month")
            json.string(String("\(first)".prefix(7)))
            json.sums(sums)
            json.endObject()
        }
        json.endArray()
        json.warnings(report.warnings)
        json.endObject()
        return json.bytes
    }

    fileprivate func costSummary(_ query: CostQuery) async throws -> [UInt8] {
        var json = JSONWriter()
        json.overview(try await costs(query))
        return json.bytes
    }

    fileprivate func writeCosts(
        _ query: EventQuery, to writer: ExportWriter, after cursor: String?
    ) async throws -> (ExportWriter, next: String?) {
        let part = try await eventPart(query, count: Self.partCount, after: cursor)
        var writer = writer
        let charged = part.events.filter {
            $0.cost ?? 0 != 0 || $0.recorded.amounts.contains { $0.0 == .messages && $0.1 != 0 }
        }
        let profiles = try await profiles(named: Set(charged.map(\.recorded.subject)))
        for event in charged {
            let time = event.recorded.time
            let profile = profiles[event.recorded.subject]
            writer.row([
                .text(event.recorded.id),
                .time(time, offset: calendar.offset(at: time)),
                .text(event.recorded.subject), profile?.clientName.map { .text($0) } ?? .none,
                profile?.clientPhone.map { .text($0) } ?? .none, .micros(event.cost ?? 0),
            ])
        }
        return (writer, part.next)
    }
}

extension Profile {
    /// Nil when no name is known.
    fileprivate var clientName: ByteString? {
        [fullName, username].first { !$0.bytes.isEmpty }
    }

    fileprivate var clientPhone: ByteString? { phone.bytes.isEmpty ? nil : phone }
}

extension JSONWriter {
    fileprivate mutating func sums(
        _ sums: CostSums, cost: StaticString = "cost", messages: StaticString = "messages"
    ) {
        key(cost)
        micros(sums.cost)
        key(messages)
        integer(sums.messages)
    }

    fileprivate mutating func day(_ day: (day: CivilDay, sums: CostSums)) {
        beginObject()
        key("date")
        string("\(day.day)")
        sums(day.sums)
        endObject()
    }

    fileprivate mutating func hour(_ number: Int, _ sums: CostSums) {
        beginObject()
        key("hour")
        integer(number)
        self.sums(sums)
        endObject()
    }

    fileprivate mutating func days(_ report: CostReport) {
        beginArray()
        for entry in report.days { day(entry) }
        endArray()
    }

    fileprivate mutating func hours(_ report: CostReport) {
        beginArray()
        for (number, sums) in report.hours.enumerated() { hour(number, sums) }
        endArray()
    }

    fileprivate mutating func clients(_ report: CostReport) {
        beginArray()
        for client in report.clients {
            beginObject()
            key("clientId")
            string(bytes: client.subject.id.bytes)
            key("clientName")
            text(client.profile?.clientName)
            key("clientPhone")
            text(client.profile?.clientPhone)
            sums(client.sums)
            endObject()
        }
        endArray()
    }

    /// The members `busiestDay` and `peakHour`.
    fileprivate mutating func peaks(_ report: CostReport) {
        key("busiestDay")
        if let busiest = report.busiestDay { day(busiest) } else { null() }
        key("peakHour")
        hour(report.peakHour.hour, report.peakHour.sums)
    }

    fileprivate mutating func averageCost(_ report: CostReport) {
        key("averageDailyCost")
        let divisor = 1_000_000 * report.days.count
        raw(RoundedDecimal.text(report.total.cost, over: divisor, places: 4).utf8)
    }

    /// This month and the one before; the change in per cent, null when that was 0.
    fileprivate mutating func comparison(_ report: CostReport) {
        let costs = report.months.suffix(2).map(\.sums.cost)
        let (previous, current) = costs.count == 2 ? (costs[0], costs[1]) : (0, 0)
        key("monthlyComparison")
        beginObject()
        key("currentMonth")
        micros(current)
        key("previousMonth")
        micros(previous)
        key("growth")
        if previous > 0 {
            let change = Int128(current - previous) * 100
            raw(RoundedDecimal.text(change, over: Int128(previous), places: 2).utf8)
        } else {
            null()
        }
        endObject()
    }

    fileprivate mutating func overview(_ report: CostReport) {
        beginObject()
        sums(report.total, cost: "totalCost", messages: "totalMessages")
        averageCost(report)
        comparison(report)
        endObject()
    }
}
