// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Observability
internal import Redis

/// The boards of windows: finds them, has them built, keeps them current and forgets them.
///
/// Made and used on the loop of its client.
final class WindowBoards {
    /// How long a board is kept current closely after it was asked for.
    private static let closeMS = 600_000
    /// One that was not asked for as long makes room where there are as many as there may be. Redis is told
    /// each minute what is in use.
    private static let roomMS = 180_000
    /// How often the others are brought up.
    private static let sweepMS = 10_000
    /// How long a board is kept that nobody asks for.
    private static let keptMS = 86_400_000
    /// How often it is looked whether what a board lacks can be read by now.
    private static let lookMS = 2_000
    private static let dropsMax = 5
    /// Boards cost memory: 130 bytes per subject.
    static let countMax = 64
    /// When boards are built ahead: so many hours before the day ends, and over how many.
    private static let aheadHours = 4
    private static let spreadHours = 3

    /// A board that was asked for here.
    private struct Use {
        var atMS: Int
        /// When Redis was told.
        var toldMS = Int.min / 2
    }

    let follower: LogFollower
    let reader: BoardReader
    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let logger: Logger
    private let archive: Archive?
    private var boards: [BoardID: WindowBoard] = [:]
    /// By the monotonic clock.
    private var uses: [BoardID: Use] = [:]
    /// Windows that mean other days tomorrow, and when they were asked for.
    private var windows: [BoardWindow: Int] = [:]
    private var building: Set<BoardID> = []
    /// Who builds. What a broken connection has stopped may be begun anew at once.
    private let process = String(UInt64.random(in: .min ... .max), radix: 16)
    private var buildCount = 0
    /// When it was looked last whether what boards lack can be read.
    private var looksMS: [BoardID: Int] = [:]
    private var failures: [BoardID: MeteringError] = [:]
    private var sweptMS = Int.min / 2

    /// A window and a meter.
    private struct BoardWindow: Hashable {
        let window: LeaderboardWindow
        let meter: Meter
    }

    init(
        _ client: RedisClient, _ settings: WorkspaceSettings, _ clock: any Clock,
        archive: Archive?, _ logger: Logger
    ) {
        self.client = client
        self.clock = clock
        self.logger = logger
        // Windows follow the log, which has all meters: what is charged is ranked for whoever asks,
        // and costs nothing while nobody does.
        var settings = settings
        if !settings.rankedMeters.contains(.costMicro) { settings.rankedMeters.append(.costMicro) }
        self.settings = settings
        self.archive = archive
        keys = Keyspace(settings)
        follower = LogFollower(client, settings, clock)
        reader = BoardReader(client: client, keys: keys)
    }

    // MARK: Asking

    var today: CivilDay {
        settings.calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
    }

    /// Notes that a board is asked for.
    func note(_ id: BoardID, _ window: LeaderboardWindow) {
        uses[id, default: Use(atMS: 0)].atMS = clock.monotonicMS
        if window.moves {
            windows[BoardWindow(window: window, meter: id.meter)] = clock.monotonicMS
        }
    }

    /// Reads a part of a board; nil when it has to be built first.
    func read(
        _ id: BoardID, _ ask: BoardAsk
    ) async throws(MeteringError) -> (part: BoardPart, warnings: [String])? {
        guard let board = board(id) else { throw .damaged(what: "a meter without leaderboards") }
        guard let read = try await board.read(ask) else {
            boards[id] = nil
            return nil
        }
        let isLost: Bool
        if follower.hasPassed(read.state.ends) {
            isLost = try await drop(id) { follower.hasPassed($0.ends) }
        } else if !read.state.warnings.isEmpty, try await isMended(id, read.state.warnings) {
            isLost = try await drop(id) { !$0.warnings.isEmpty }
        } else {
            isLost = false
        }
        guard isLost else { return (read.part, read.state.warnings) }
        boards[id] = nil
        return nil
    }

    // MARK: Boards that cannot go on

    /// Whether a day can be read by now that could not when the board was built. Looked at now and then
    /// only: it may take the reading of a whole file.
    private func isMended(
        _ id: BoardID, _ warnings: [String]
    ) async throws(MeteringError) -> Bool {
        let now = clock.monotonicMS
        guard let archive, let days = id.days, now - (looksMS[id] ?? .min / 2) >= Self.lookMS else {
            return false
        }
        looksMS[id] = now
        _ = try await archive.coldDays()
        var rest = Set(warnings)
        for number in days.lowerBound.number...days.upperBound.number where !rest.isEmpty {
            let day = CivilDay(number: number)
            let name = archive.name(day) + " "
            guard let warning = rest.first(where: { $0.hasPrefix(name) }) else { continue }
            rest.remove(warning)
            if await archive.isReadable(day) { return true }
        }
        return false
    }

    /// Forgets a board that is unfit, as it is at a moment after the call; it is built again.
    private func drop(
        _ id: BoardID, where isUnfit: (BoardState) -> Bool
    ) async throws(MeteringError) -> Bool {
        // It changes whenever something is counted.
        for _ in 0..<Self.dropsMax {
            let part = try await reader.window(id, .page(limit: 0, after: nil))
            guard let state = BoardState(part.state) else { return part.state.isEmpty }
            // Another process has built it anew.
            if !isUnfit(state) { return true }
            if try await drop(id, unusedSince: 0, state: part.state) { return true }
        }
        return false
    }

    private func board(_ id: BoardID) -> WindowBoard? {
        if let board = boards[id] { return board }
        guard let place = settings.rankedMeters.firstIndex(of: id.meter) else { return nil }
        let board = WindowBoard(id, place, follower, reader)
        boards[id] = board
        return board
    }

    // MARK: Building

    /// Whether somebody has to call `build` now.
    func isToBuild(_ id: BoardID) -> Bool { !building.contains(id) }

    /// Why the last try to build a board failed; it is told once.
    func failure(_ id: BoardID) -> MeteringError? { failures.removeValue(forKey: id) }

    /// Builds a board, unless this or another process does already.
    func build(_ id: BoardID) async {
        guard building.insert(id).inserted,
            let place = settings.rankedMeters.firstIndex(of: id.meter)
        else { return }
        defer { building.remove(id) }
        let start = clock.monotonicMS
        failures[id] = nil
        do {
            guard try await isRoom(for: id) else {
                failures[id] = .tooMany(what: "\(Self.countMax) leaderboards are in use")
                return
            }
            buildCount += 1
            let builder = BoardBuilder(
                id, place: place, follower, reader, token: Array("\(process).\(buildCount)".utf8),
                today: today, clock: clock, archive: archive, logger: logger)
            if case .built = try await builder.build() {
                let took = clock.monotonicMS - start
                if took > 1_000 {
                    logger.info("built a leaderboard", ["board": id.name, "ms": "\(took)"])
                }
            }
        } catch let error as RedisError {
            fail(id, .unavailable(error))
        } catch let error as MeteringError {
            fail(id, error)
        } catch {
            fail(id, .damaged(what: "\(error)"))
        }
    }

    private func fail(_ id: BoardID, _ error: MeteringError) {
        failures[id] = error
        logger.warning(
            "a leaderboard was not built", ["board": id.name, "reason": "\(error)"])
    }

    /// Whether there may be one more; one that was not used for long makes room.
    private func isRoom(for id: BoardID) async throws(MeteringError) -> Bool {
        let used = try await used()
        guard used.count >= Self.countMax,
            let oldest = used.min(by: { ($0.value, $0.key.name) < ($1.value, $1.key.name) })
        else { return true }
        let limit = clock.now.milliseconds - Self.roomMS
        guard oldest.value < limit else { return false }
        return try await drop(oldest.key, unusedSince: limit)
    }

    // MARK: Keeping

    /// Brings the boards up that are in use, and now and then the others.
    func keep() async throws(MeteringError) {
        let now = clock.monotonicMS
        let close = uses.filter { now - $0.value.atMS < Self.closeMS }.map(\.key)
        if !close.isEmpty {
            try await follower.advance()
            for id in close { try await boards[id]?.bringUp() }
        }
        guard now - sweptMS >= Self.sweepMS else { return }
        sweptMS = now
        try await sweep()
    }

    private func sweep() async throws(MeteringError) {
        let now = clock.monotonicMS
        for (id, use) in uses where now - use.toldMS > 60_000 && now - use.atMS < 60_000 {
            guard boards[id] != nil else { continue }
            _ = try await send(
                "HSET",
                [keys.boardsUsed, Array(id.name.utf8), Array("\(clock.now.milliseconds)".utf8)])
            uses[id]?.toldMS = now
        }
        looksMS = looksMS.filter { now - $0.value < Self.sweepMS }
        uses = uses.filter { now - $0.value.atMS < Self.keptMS }
        windows = windows.filter { now - $0.value < Self.keptMS }
        let limit = clock.now.milliseconds - Self.keptMS
        let used = try await used()
        for (id, atMS) in used where atMS < limit {
            if try await drop(id, unusedSince: limit) { boards[id] = nil }
        }
        for name in try await names(keys.boardsBuilding) {
            guard let id = Self.id(name), used[id] == nil else { continue }
            _ = try await drop(id, unusedSince: limit)
        }
        // What no question can mean is kept current by nobody, and would never be forgotten.
        for key in [keys.boardsUsed, keys.boardsBuilding] {
            for name in try await names(key) where Self.id(name) == nil {
                _ = try await drop(named: name, unusedSince: .max)
            }
        }
        guard !used.isEmpty else { return }
        try await follower.advance()
        for id in used.keys where used[id] ?? 0 >= limit {
            guard let board = board(id) else { continue }
            try await board.bringUp(isToLoad: true)
            // At once: when the clock gets to where it was, nothing tells any more what is missing.
            if board.hasPassed, try await drop(id, where: { follower.hasPassed($0.ends) }) {
                boards[id] = nil
            }
        }
    }

    /// The boards that there are, and when they were used last.
    private func used() async throws(MeteringError) -> [BoardID: Int] {
        let reply = try await send("HGETALL", [keys.boardsUsed]).elements ?? []
        var used: [BoardID: Int] = [:]
        for index in stride(from: 0, to: reply.count - 1, by: 2) {
            guard let id = reply[index].bytes.flatMap({ Self.id($0) }) else { continue }
            used[id] = reply[index + 1].bytes.flatMap { Int(String(decoding: $0, as: UTF8.self)) }
        }
        return used
    }

    private func names(_ key: [UInt8]) async throws(MeteringError) -> [[UInt8]] {
        try await send("HKEYS", [key]).elements?.compactMap(\.bytes) ?? []
    }

    private static func id(_ bytes: [UInt8]) -> BoardID? {
        BoardID(name: String(decoding: bytes, as: UTF8.self))
    }

    /// Forgets a board that was not used since a time.
    ///
    /// - Parameter state: in which it is forgotten in any case; empty for none.
    private func drop(
        _ id: BoardID, unusedSince: Int, state: [UInt8] = []
    ) async throws(MeteringError) -> Bool {
        try await drop(named: Array(id.name.utf8), unusedSince: unusedSince, state: state)
    }

    private func drop(
        named name: [UInt8], unusedSince: Int, state: [UInt8] = []
    ) async throws(MeteringError) -> Bool {
        do {
            let reply = try await client.run(
                ScriptLibrary.dropBoard,
                keys: [
                    keys.boardsBuilding, keys.newBoard(named: name), keys.board(named: name),
                    keys.boards, keys.boardsUsed,
                ],
                arguments: [name, state, Array("\(unusedSince)".utf8)])
            return reply.integer == 1
        } catch {
            throw .unavailable(error)
        }
    }

    private func send(
        _ name: StaticString, _ arguments: [[UInt8]]
    ) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(RedisCommand(name, arguments))
        } catch {
            throw .unavailable(error)
        }
    }

    // MARK: Tomorrow

    /// A board that tomorrow's questions will need and that is due to be built, if there is one:
    /// those of windows in use, in the last hours of the day, not all at once.
    func nextAhead() async throws(MeteringError) -> BoardID? {
        let seconds = clock.now.milliseconds.flooredQuotient(1000)
        let tomorrow = CivilDay(number: today.number + 1)
        let rest = settings.calendar.start(of: tomorrow) - seconds
        guard rest < Self.aheadHours * 3600, building.isEmpty else { return nil }
        let there = try await used()
        for (window, _) in windows {
            guard let days = window.window.days(on: tomorrow), days.lowerBound < days.upperBound
            else { continue }
            let id = BoardID(days, window.meter)
            guard there[id] == nil else { continue }
            // The same in each process, so that one of them begins.
            let turn = id.name.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff }
            let due = Self.aheadHours * 3600 - turn % (Self.spreadHours * 3600)
            if rest < due { return id }
        }
        return nil
    }
}
