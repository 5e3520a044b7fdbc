// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Compares the boards of windows with what subjects used in them, both ways: a window's days with their
/// detail in Redis and in files, all days with the lifetime totals.
///
/// Boards of the same days are compared together, so that what was used is read once for all of them.
final class BoardVerifier {
    /// How often it is looked up anew where the days are when one comes or leaves each time that the same
    /// subjects are compared.
    private static let lookCount = 10

    private let days: VerifiedDays
    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ days: VerifiedDays, _ context: VerifyContext) {
        (self.days, self.context) = (days, context)
    }

    func run() async throws {
        let boards = try await boards()
        guard !boards.isEmpty else { return }
        // All meters are in the log; of these it is told.
        var settings = context.settings
        settings.rankedMeters = Set(boards.values.joined().map(\.meter))
            .sorted { $0.name < $1.name }
        let follower = LogFollower(context.client, settings, context.clock)
        // It has to know which logs there are.
        try await follower.advance()
        let reader = BoardReader(client: context.client, keys: keys)
        let windows = boards.sorted { ($0.value.first?.name ?? "") < ($1.value.first?.name ?? "") }
        for (window, ids) in windows {
            let standings = ids.map { id in
                let place = settings.rankedMeters.firstIndex(of: id.meter) ?? 0
                return ComparedWindow.Standing(
                    board: WindowBoard(id, place, follower, reader), place: place)
            }
            try await verify(window, standings, follower)
        }
    }

    /// The boards that there are, by their days and what they lack.
    private func boards() async throws -> [ComparedWindow: [BoardID]] {
        let reply = try await context.send(RedisCommand("HGETALL", [keys.boards])).elements ?? []
        var boards: [ComparedWindow: [BoardID]] = [:]
        for index in stride(from: 0, to: reply.count - 1, by: 2) {
            guard let id = reply[index].text.flatMap({ BoardID(name: $0) }) else { continue }
            guard let state = reply[index + 1].bytes.flatMap({ BoardState($0) }) else {
                throw MeteringError.damaged(what: "boards")
            }
            let window = ComparedWindow(days: id.days, warnings: state.warnings)
            boards[window, default: []].append(id)
        }
        return boards.mapValues { $0.sorted { $0.meter.name < $1.meter.name } }
    }

    private func verify(
        _ window: ComparedWindow, _ standings: [ComparedWindow.Standing], _ follower: LogFollower
    ) async throws {
        var start: [UInt8]? = []
        var looks = 1
        while let from = start, let places = try await places(of: window) {
            let isLast = looks == Self.lookCount
            let comparison = try await BoardComparison(
                window, standings, places, follower, context)
            start = try await comparison.run(from: from) {
                isLast ? false : try await self.days.kept() != places.kept
            }
            looks = start == from ? looks + 1 : 1
        }
    }

    /// Where what was used in a window is found; nil when it cannot be known what its boards should have.
    private func places(of window: ComparedWindow) async throws -> VerifiedDays.Places? {
        guard let span = window.days else {
            return VerifiedDays.Places(kept: try await days.kept())
        }
        var places = try await days.places(in: span)
        // What is older than it should be is not read by boards, either.
        let old = places.files.map(\.day).filter { day in
            days.files[day]?.title.revision ?? 0 < places.kept.cold[day] ?? 0
        }
        places.files.removeAll { old.contains($0.day) }
        places.missing += old
        // What could not be read when they were built, and still cannot be, is in neither; nothing was
        // counted on it meanwhile. With a day that can be read by now they are built anew when they are
        // asked for. A day that cannot be read any more is told where its file is looked at.
        let folder = SnapshotFolder(data: "", workspace: context.settings.id)
        let lacking = window.warnings.filter { warning in
            places.missing.contains { warning.hasPrefix(folder.name($0) + " ") }
        }
        let isSame =
            lacking.count == window.warnings.count && lacking.count == places.missing.count
        return isSame ? places : nil
    }
}
