// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Redis

/// Names an event by its place in the log, so that who watches can go on behind it.
public struct LiveID: Sendable, Equatable {
    let position: LogPosition
    let place: Int
    /// `WorkspaceSettings.birth`: another workspace that had the id has the same places.
    let birth: String

    /// Reads what `text` wrote; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 40, (2...3).contains(parts.count), let packed = Int(parts[0]),
            let place = Int(parts[1]), (1...EventBatch.exactIntegerMax).contains(packed),
            (1...EventBatch.eventCountMax).contains(place)
        else { return nil }
        position = LogPosition(packed)
        self.place = place
        birth = parts.count == 3 ? String(parts[2]) : ""
    }

    init(_ position: LogPosition, place: Int, born birth: String) {
        self.position = position
        self.place = place
        self.birth = birth
    }

    public var text: String {
        "\(position.packed).\(place)" + (birth.isEmpty ? "" : ".\(birth)")
    }
}

/// Which events are watched.
public struct LiveQuery: Sendable {
    public var filter = EventQuery()
    /// Only events with an amount of it; nil for all.
    public var meter: Meter?

    public init() {}

    func chosen(
        _ entry: LogEntry, of workspace: WorkspaceSettings, after last: LiveID?
    ) -> [(id: LiveID, event: HistoryEvent)] {
        entry.events.compactMap { logged in
            if let last, last.position == entry.position, logged.place <= last.place { return nil }
            let name = entry.subjects[logged.subject]
            guard !entry.excluded.contains(logged.place),
                filter.subject == nil || filter.subject?.id == name,
                filter.matches(logged, of: name),
                meter == nil || logged.event.amounts.contains(where: { $0.0 == meter })
            else { return nil }
            let id = LiveID(entry.position, place: logged.place, born: workspace.birth)
            return (id, HistoryEvent(entry, logged))
        }
    }
}

extension QueryEngine {
    public typealias LiveEvents = [(id: LiveID, event: HistoryEvent)]
    /// How long what was counted may wait until it is told, in milliseconds.
    private static let livePauseMS = 200

    /// Begins to watch: what came behind an event that was told before, and where to go on.
    ///
    /// - Returns: nil when too much came since to be told, or the event was another workspace's of the same id.
    public func beginLive(
        _ query: LiveQuery, after last: LiveID?
    ) async throws(MeteringError) -> (LiveEvents, LivePlace)? {
        guard last == nil || last?.birth == settings.birth,
            let (missed, place) = try await liveFeed().begin(after: last?.position)
        else { return nil }
        return (missed.flatMap { query.chosen($0, of: settings, after: last) }, place)
    }

    /// What was counted behind a place, a fifth of a second later; often nothing.
    ///
    /// - Returns: nil for a watcher that is so far behind that some of it is not kept any more.
    public func live(
        _ query: LiveQuery, from place: LivePlace
    ) async throws(MeteringError) -> (LiveEvents, LivePlace)? {
        await loop.sleep(for: .milliseconds(Self.livePauseMS))
        var place = place
        guard let entries = try await liveFeed().next(&place) else { return nil }
        return (entries.flatMap { query.chosen($0, of: settings, after: nil) }, place)
    }

    private func liveFeed() throws(MeteringError) -> LiveFeed {
        if let feed { return feed }
        let made = LiveFeed(client: try client, keys: keys, clock: clock) { [weak self] in
            Task { [weak self] in await self?.forgetFeed() }
        }
        feed = made
        return made
    }

    private func forgetFeed() {
        if feed?.isWatched == false { feed = nil }
    }
}
