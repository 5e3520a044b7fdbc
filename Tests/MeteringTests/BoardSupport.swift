// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

/// What leaderboards mean, in the plainest form.
struct BoardModel {
    let calendar: WorkspaceCalendar
    /// By day, meter and subject.
    private var sums: [CivilDay: [Meter: [ByteString: Int]]] = [:]

    init(calendar: WorkspaceCalendar) { self.calendar = calendar }

    mutating func count(_ event: UsageEvent, at milliseconds: Int, sign: Int = 1) {
        let seconds = Int((Double(milliseconds) / 1000).rounded(.down))
        let day = calendar.day(at: seconds)
        for (meter, amount) in event.amounts {
            sums[day, default: [:]][meter, default: [:]][event.subject.id, default: 0] +=
                sign * amount
        }
    }

    func entries(_ meter: Meter, _ days: ClosedRange<CivilDay>?) -> [LeaderboardEntry] {
        var totals: [ByteString: Int] = [:]
        for (day, meters) in sums where days?.contains(day) ?? true {
            totals.merge(meters[meter] ?? [:]) { $0 + $1 }
        }
        return totals.filter { $0.value > 0 }
            .sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { LeaderboardEntry(subject: $0.key, value: $0.value) }
    }
}

/// Starts an engine that answers, as a process has one, and stops it at the end.
func withQueries<Value: Sendable>(
    _ count: Int, _ path: String, on host: isolated LoopHost, clock: ManualClock,
    settings: WorkspaceSettings = WorkspaceSettings(), timeout: Duration = .seconds(20),
    _ body: ([QueryEngine]) async throws -> Value
) async throws -> Value {
    var configuration = RedisConfiguration(address: .unix(path))
    configuration.commandTimeout = timeout
    var engines: [QueryEngine] = []
    for _ in 0..<count {
        let engine = QueryEngine(
            on: host.loop, redis: configuration, settings: settings, clock: clock,
            data: "/nonexistent", metrics: MetricsRegistry(), logger: Logger(level: .error))
        await engine.start()
        while await !engine.isReady { await host.loop.sleep(for: .milliseconds(1)) }
        engines.append(engine)
    }
    do {
        let value = try await body(engines)
        for engine in engines { await engine.stop() }
        return value
    } catch {
        for engine in engines { await engine.stop() }
        throw error
    }
}

extension QueryEngine {
    /// A page, however long its board takes to be built.
    func page(
        _ meter: Meter, _ window: LeaderboardWindow, limit: Int = 1000,
        after cursor: LeaderboardCursor? = nil
    ) async throws -> LeaderboardPage {
        while true {
            do {
                return try await leaderboard(meter, window, limit: limit, after: cursor)
            } catch {
                guard case .building = error else { throw error }
            }
        }
    }

    /// All of a leaderboard, page by page.
    func all(
        _ meter: Meter, _ window: LeaderboardWindow, limit: Int = 1000
    ) async throws -> [LeaderboardEntry] {
        var entries: [LeaderboardEntry] = []
        var cursor: LeaderboardCursor?
        repeat {
            let page = try await page(meter, window, limit: limit, after: cursor)
            #expect(page.entries.isEmpty || page.firstRank == entries.count + 1)
            #expect(page.warnings == [])
            entries += page.entries
            // As a client keeps it.
            cursor = page.next.flatMap { LeaderboardCursor($0.text) }
            #expect(cursor == page.next)
        } while cursor != nil
        return entries
    }

    /// Compares all of a leaderboard with the model, and the place of somebody on it.
    func check(
        _ window: LeaderboardWindow, _ meter: Meter, _ model: BoardModel, on today: CivilDay,
        _ random: inout SeededGenerator, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let expected = model.entries(meter, window.days(on: today))
        let entries = try await all(meter, window, limit: Int.random(in: 1...20, using: &random))
        #expect(entries == expected, "\(window) \(meter.name)", sourceLocation: sourceLocation)
        guard let index = expected.indices.randomElement(using: &random) else { return }
        let neighbours = Int.random(in: 0...6, using: &random)
        let place = try #require(
            try await leaderboardPlace(
                of: subjectID(expected[index].subject.text), meter, window,
                neighbours: neighbours))
        #expect(place.rank == index + 1 && place.count == expected.count)
        #expect(place.value == expected[index].value)
        #expect(
            place.gap == (index == 0 ? nil : expected[index - 1].value - expected[index].value))
        #expect(place.above == Array(expected[..<index].suffix(neighbours)))
        #expect(place.below == Array(expected[(index + 1)...].prefix(neighbours)))
    }
}

/// Takes a board as far as a process came that was killed: two of three slices of the change that today's
/// next entry of the log makes.
///
/// - Parameter amounts: of that entry, 500 subjects in order.
func leaveHalfDone(
    _ id: BoardID, _ amounts: [(subject: String, amount: Int)], _ client: RedisClient
) async throws {
    let keys = Keyspace(WorkspaceSettings())
    let writer = MessagePackWriter()
    guard
        case .bulk(var packed) = try await client.send(
            RedisCommand("HGET", [keys.boards, Array(id.name.utf8)]))
    else { throw MeteringError.damaged(what: "boards") }
    var state = try #require(BoardState(packed))
    #expect(state.pending == nil)
    var target = state.ends
    target[noon / 86_400_000] += 1
    let data = Array("dataset".utf8)
    guard case .bulk(let name) = try await client.send(RedisCommand("HGET", [keys.meta, data]))
    else { throw MeteringError.damaged(what: "the name of the data") }
    // The log of other data is not added, nor is the same part of it twice.
    let tries: [(data: [UInt8], expected: Int)] = [([], 0), (name, 1), (name, 0)]
    for slice in [0..<200, 200..<400] {
        state.pending = (target, ByteString(amounts[slice.upperBound - 1].subject))
        writer.array(2)
        writer.array(200)
        for index in slice { writer.string(amounts[index].subject) }
        writer.integers(slice.map { amounts[$0].amount })
        let items = writer.take()
        let next = state.packed(writer)
        for (data, expected) in tries {
            let done = try await client.run(
                ScriptLibrary.applyBoard, keys: [keys.boards, keys.board(id), keys.meta],
                arguments: [Array(id.name.utf8), packed, next, items, data])
            #expect(done.integer == expected)
        }
        packed = next
    }
}
