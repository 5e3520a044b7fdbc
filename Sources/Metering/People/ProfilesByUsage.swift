// SPDX-License-Identifier: Apache-2.0
//
// The order is the lifetime board's, which has everybody who used something and is not in demo mode. The
// others come behind it by id; who of them was told before is seen by its totals.

internal import Redis

/// A place in the order of profiles by what they used.
public enum UsageCursor: Sendable, Equatable {
    /// Behind one who used something; nil at the start.
    case ranked(LeaderboardCursor?)
    /// Behind one of the others; nil before the first of them.
    case rest(ProfileCursor?)

    /// Reads what `text` wrote; nil for anything else.
    public init?(_ text: String) {
        let rest = String(text.dropFirst())
        switch text.first {
        case "m":
            guard let cursor = LeaderboardCursor(rest) else { return nil }
            self = .ranked(cursor)
        case "0" where rest.isEmpty: self = .rest(nil)
        case "0":
            guard let cursor = ProfileCursor(rest, of: .id) else { return nil }
            self = .rest(cursor)
        default: return nil
        }
    }

    /// It as a text of letters, digits, `-` and `_`; a first letter that no other order's has.
    public var text: String {
        switch self {
        case .ranked(let cursor): "m" + (cursor?.text ?? "")
        case .rest(let cursor): "0" + (cursor?.text ?? "")
        }
    }
}

extension QueryEngine {
    /// Profiles by their lifetime totals of a meter, most first and equal ones by id; then those who used
    /// nothing of it, or are in demo mode, by id. It holds all that was acknowledged before the call.
    ///
    /// Whose total changes between two pages is told as it is then: some twice, or not at all. A page looks
    /// at 20,000 places at most, so that it may have less than `limit`, and a next page all the same.
    ///
    /// - Parameters:
    ///   - meter: one that is ranked.
    ///   - limit: 1 to 1000.
    ///   - cursor: `next` of the page before, nil for the first.
    /// - Throws: `MeteringError.building` when the board is not ready within five seconds.
    public func profiles(
        _ filter: ProfileFilter, byMost meter: Meter, limit: Int, after cursor: UsageCursor? = nil
    ) async throws(MeteringError) -> (profiles: [Profile], next: UsageCursor?) {
        if filter.email != nil || filter.phone != nil {
            return (try await profiles(filter, limit: limit).profiles, nil)
        }
        let isWanted = filter.test()
        var profiles: [Profile] = []
        var place = cursor ?? .ranked(nil)
        for _ in 0..<ProfileReader.sliceCountMax where profiles.count < limit {
            let slice = try await slice(of: meter, behind: place, filter)
            for entry in slice.entries {
                if isWanted(entry.profile, entry.last) {
                    guard profiles.count < limit else { return (profiles, place) }
                    profiles.append(entry.profile)
                }
                place = entry.place
            }
            guard let next = slice.next else { return (profiles, nil) }
            place = next
        }
        return (profiles, place)
    }

    private typealias Ranked = (profile: Profile, last: Int, place: UsageCursor)

    /// Some of the order behind a place, and where it goes on; nil at the end.
    private func slice(
        of meter: Meter, behind place: UsageCursor, _ filter: ProfileFilter
    ) async throws(MeteringError) -> (entries: [Ranked], next: UsageCursor?) {
        switch place {
        case .ranked(let cursor): try await ranked(meter, cursor, filter)
        case .rest(let cursor): try await unranked(meter, cursor, filter)
        }
    }

    private func ranked(
        _ meter: Meter, _ cursor: LeaderboardCursor?, _ filter: ProfileFilter
    ) async throws(MeteringError) -> (entries: [Ranked], next: UsageCursor?) {
        let board = try await leaderboard(
            meter, .lifetime, limit: ProfileReader.sliceCount, after: cursor)
        let ids = board.entries.map { SubjectID(stored: $0.subject) }
        let profiles = try await profileReader().profiles(of: ids)
        var figures: [SubjectFigures] = []
        if filter.inactiveSince != nil { figures = try await self.figures(of: ids, [.usage]) }
        var entries: [Ranked] = []
        for (index, entry) in board.entries.enumerated() {
            // Without a profile, or put into demo mode since: told with the others, if at all.
            guard let profile = profiles[index], !profile.isDemo else { continue }
            let last = figures.isEmpty ? nil : figures[index].lastEventAt
            let cursor = LeaderboardCursor(value: entry.value, subject: entry.subject)
            entries.append((profile, last?.milliseconds ?? 0, .ranked(cursor)))
        }
        return (entries, board.next.map { .ranked($0) } ?? .rest(nil))
    }

    private func unranked(
        _ meter: Meter, _ cursor: ProfileCursor?, _ filter: ProfileFilter
    ) async throws(MeteringError) -> (entries: [Ranked], next: UsageCursor?) {
        let slice = try await profileReader().page(
            ProfileFilter(), by: .id, limit: ProfileReader.sliceCount, after: cursor)
        let figures = try await self.figures(of: slice.profiles.map(\.subject), [.usage])
        var entries: [Ranked] = []
        for (profile, figures) in zip(slice.profiles, figures) {
            let total = figures.totals.first { $0.meter == meter }?.total ?? 0
            guard total <= 0 || profile.isDemo else { continue }
            let cursor = ProfileCursor(.id, profile.subject.id.bytes)
            entries.append((profile, figures.lastEventAt?.milliseconds ?? 0, .rest(cursor)))
        }
        return (entries, slice.next.map { .rest($0) })
    }
}
