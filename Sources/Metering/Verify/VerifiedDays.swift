// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Tells where it is known what was used on each day: in Redis, or in the day's file.
struct VerifiedDays {
    /// The days that are in Redis, and those that have left it with the revisions of their files.
    struct Kept: Equatable {
        var hot: Set<CivilDay>
        var cold: [CivilDay: Int]
    }

    /// Where what was used on some days is found, as long as no day comes or leaves.
    struct Places {
        /// When this was looked up.
        let kept: Kept
        /// The days whose detail is in Redis.
        var hot: [CivilDay] = []
        /// The files of all other days.
        var files: [SnapshotSource.Day] = []
        /// Days that have left Redis and have no file that is whole, as was told before.
        var missing: [CivilDay] = []
    }

    /// Files that are whole, by their days.
    let files: [CivilDay: SnapshotSource.Day]
    /// Days that have boards of their own, whatever else is said of them.
    let ranked: Set<CivilDay>
    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(
        files: [CivilDay: SnapshotSource.Day], ranked: Set<CivilDay>, _ context: VerifyContext
    ) {
        (self.files, self.ranked, self.context) = (files, ranked, context)
    }

    func kept() async throws -> Kept {
        let changes = try await context.daysOf(keys.changes, in: "changes")
        let cold = try await context.daysOf(keys.cold, in: "cold days")
        return Kept(hot: Set(changes.keys).union(ranked).subtracting(cold.keys), cold: cold)
    }

    /// - Parameter span: of which days; nil for all.
    func places(in span: ClosedRange<CivilDay>? = nil) async throws -> Places {
        let kept = try await kept()
        var places = Places(kept: kept)
        for day in kept.hot.union(kept.cold.keys).sorted() where span?.contains(day) ?? true {
            let isCold = kept.cold[day] != nil
            if !isCold,
                try await context.send(RedisCommand("EXISTS", [keys.hours(day)])).integer == 1
            {
                places.hot.append(day)
            } else if let file = files[day] {
                // Of a day that Redis has lost the file tells.
                places.files.append(file)
            } else if isCold {
                places.missing.append(day)
            }
        }
        return places
    }
}
