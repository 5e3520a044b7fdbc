// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Observability
internal import Redis

extension QueryEngine {
    /// How long a question waits for a board to be built.
    private static let patienceMS = 5_000

    /// A part of a leaderboard, most first, equal values by id as bytes. It holds all that was
    /// acknowledged before the call.
    ///
    /// - Parameters:
    ///   - meter: one that is ranked, or `cost_micro`.
    ///   - limit: 1 to 1000.
    ///   - cursor: behind which it goes on; nil for the start.
    /// - Throws: `MeteringError.building` when the board is not ready within five seconds.
    public func leaderboard(
        _ meter: Meter, _ window: LeaderboardWindow, limit: Int, after cursor: LeaderboardCursor?
    ) async throws(MeteringError) -> LeaderboardPage {
        // One more tells whether it goes on.
        let (part, days, warnings) = try await read(
            meter, window, .page(limit: limit + 1, after: cursor))
        return LeaderboardPage(part, limit: limit, days, warnings)
    }

    /// Where a subject stands, and who stands around it; nil when it used nothing.
    ///
    /// - Parameter neighbours: how many above and below, 0 to 100.
    /// - Throws: `MeteringError.incomplete` when it is not ranked on a board that lacks days which
    ///   cannot be read.
    public func leaderboardPlace(
        of subject: SubjectID, _ meter: Meter, _ window: LeaderboardWindow, neighbours: Int
    ) async throws(MeteringError) -> LeaderboardPlace? {
        // The gap needs the next above.
        let (part, days, warnings) = try await read(
            meter, window, .place(subject, neighbours: max(1, neighbours)))
        let place = LeaderboardPlace(part, neighbours: neighbours, days, warnings)
        // It may have used something on a day that is not counted.
        if place == nil, !warnings.isEmpty { throw .incomplete(warnings: warnings) }
        return place
    }

    private func read(
        _ meter: Meter, _ window: LeaderboardWindow, _ ask: BoardAsk
    ) async throws(MeteringError) -> (BoardPart, ClosedRange<CivilDay>?, [String]) {
        guard let boards else { throw .unavailable(.disconnected(reason: "it was not started")) }
        let days = window.days(on: boards.today)
        // What is ranked when it is counted has a board of each day.
        if let days, days.lowerBound == days.upperBound, settings.rankedMeters.contains(meter),
            let part = try await boards.reader.day(days.lowerBound, meter, ask)
        {
            return (part, days, [])
        }
        let id = BoardID(days, meter)
        boards.note(id, window)
        let deadline = clock.monotonicMS + Self.patienceMS
        repeat {
            if let (part, warnings) = try await boards.read(id, ask) {
                return (part, days, warnings)
            }
            if let failure = boards.failure(id) { throw failure }
            if boards.isToBuild(id) { Task { await buildBoard(id) } }
            await loop.sleep(for: .milliseconds(5))
            while !boards.isToBuild(id), clock.monotonicMS < deadline {
                await loop.sleep(for: .milliseconds(5))
            }
        } while clock.monotonicMS < deadline
        throw .building(what: "the leaderboard \(id.name)")
    }

    private func buildBoard(_ id: BoardID) async { await boards?.build(id) }

    /// Keeps boards current until the engine is stopped.
    func keepBoards() async {
        guard let boards else { return }
        var lookedMS = clock.monotonicMS
        var toldProblem = false
        while self.boards === boards {
            await loop.sleep(for: .milliseconds(10))
            guard self.boards === boards, (try? client)?.isReady == true else { continue }
            do {
                try await boards.keep()
                toldProblem = false
                guard clock.monotonicMS - lookedMS > 20_000 else { continue }
                lookedMS = clock.monotonicMS
                if let id = try await boards.nextAhead() { Task { await buildBoard(id) } }
            } catch {
                if !toldProblem {
                    logger.warning("leaderboards are behind", ["reason": "\(error)"])
                }
                toldProblem = true
                await loop.sleep(for: .milliseconds(1_000))
            }
        }
    }
}
