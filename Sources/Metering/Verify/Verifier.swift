// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Redis

/// Recomputes what can be recomputed of a workspace, from its files and from Redis.
final class Verifier {
    /// How often totals are added up anew when a day comes or leaves meanwhile.
    private static let lookCount = 10

    private let context: VerifyContext
    private let folder: String
    private let ranked: [Meter]
    private var keys: Keyspace { context.keys }
    /// Files that are whole, by their days.
    private var files: [CivilDay: SnapshotSource.Day] = [:]
    /// Files of the audit log that are whole.
    private var audit: [SnapshotSource.Day] = []

    /// - Parameter folder: the workspace's snapshots.
    init(_ folder: String, _ context: VerifyContext) {
        self.folder = folder
        self.context = context
        ranked = context.settings.rankedMeters
    }

    /// - Parameter progress: called with what is looked at.
    func run(progress: (String) -> Void) async throws {
        try await attempt("Redis") { try await self.look(progress) }
    }

    private func look(_ progress: (String) -> Void) async throws {
        if let token = try await context.send(
            RedisCommand("HGET", [keys.meta, Array("restoring".utf8)])
        ).text {
            context.report(
                Difference("Redis", "restore", expected: "ended", found: "interrupted (\(token))"))
        }
        let source = try SnapshotSource(folder, keepsFaults: true)
        for fault in source.faults {
            context.report(
                Difference(fault.file, "file", expected: "a snapshot", found: fault.reason))
        }
        try await attempt("rules") { try await verifyZone(source) }
        let state = try await verifyFiles(source, progress)
        try await attempt("snapshots") {
            try await WrittenFiles(source, context).run(days: files)
        }
        let changes = try await context.daysOf(keys.changes, in: "changes")
        let cold = try await context.daysOf(keys.cold, in: "cold days")
        for (day, revision) in cold.sorted(by: { $0.key < $1.key }) {
            try await attempt("cold day \(day)") { try await verifyCold(day, revision) }
        }
        let boards = try await boards()
        var hot = Set(changes.keys).subtracting(cold.keys)
        hot.formUnion(boards.keys.filter { cold[$0] == nil })
        for day in hot.sorted(by: >) {
            progress("\(day)")
            let meters = Set(boards[day] ?? []).union(try rankedInFile(day))
            try await attempt("day \(day)") {
                try await verifyHot(day, ranked: meters.sorted { $0.name < $1.name })
            }
        }
        for day in files.keys.sorted() where changes[day] == nil && cold[day] == nil {
            context.report(
                Difference("day \(day)", "days of Redis", expected: "it", found: "nothing of it"))
        }
        progress("totals")
        let days = VerifiedDays(files: files, ranked: Set(boards.keys), context)
        try await attempt("totals") { try await verifyLifetimes(days) }
        try await attempt("log of events") {
            try await LogVerifier(days, context).run(progress: progress)
        }
        progress("minutes")
        try await attempt("minutes") { try await MinuteVerifier(context).run() }
        progress("boards of windows")
        try await attempt("boards of windows") { try await BoardVerifier(days, context).run() }
        progress("accounts")
        try await attempt("accounts") { try await AccountVerifier(context).run() }
        try await attempt("rules") { try await verifyRules() }
        try await attempt("rules and accounts") { try await verify(state) }
        try await attempt("alerts") { try await NoticeVerifier(context).run() }
        progress("API keys")
        try await attempt("API keys") { try await APIKeyVerifier(context).run() }
        progress("profiles")
        try await attempt("profiles") { try await PeopleVerifier(context).run() }
        progress("merged guests")
        try await attempt("merged guests") { try await MergeVerifier(context).run() }
        progress("pools of keys")
        try await attempt("pools of keys") { try await PoolVerifier(context).run() }
        try await attempt("erasures") { try await verifyErasures() }
        progress("the audit log")
        try await attempt("audit log") { try await verifyAudit() }
    }

    /// Goes on with the next part when one cannot be read because of what it holds.
    private func attempt(_ place: String, _ body: () async throws -> Void) async throws {
        func damaged(_ error: any Error) {
            context.report(
                Difference(place, "its data", expected: "to be readable", found: "\(error)"))
        }
        do {
            try await body()
        } catch let error as FlushError {
            switch error {
            case .redis(.server), .redis(.unexpectedReply), .damaged: damaged(error)
            // The workspace was deleted meanwhile.
            case .leaseLost: break
            default: throw error
            }
        } catch let error as RedisError {
            switch error {
            case .server, .unexpectedReply: damaged(error)
            default: throw error
            }
        } catch let error as MeteringError {
            guard case .damaged = error else { throw error }
            damaged(error)
        } catch let fault as SnapshotFault {
            damaged(fault)
        }
    }

    // MARK: Files

    /// Returns the state's file if it is whole.
    private func verifyFiles(
        _ source: SnapshotSource, _ progress: (String) -> Void
    ) async throws -> (path: String, title: SnapshotTitle)? {
        func isWhole(_ path: String, _ title: SnapshotTitle) async throws -> Bool {
            do {
                try await SnapshotLines.check(path) { _ in await context.pause() }
            } catch let fault as SnapshotFault {
                context.report(
                    Difference(path, "checksum", expected: "that of the file", found: fault.reason))
                return false
            }
            guard title.dataset == context.dataset else {
                context.report(
                    Difference(
                        path, "dataset", expected: context.dataset, found: title.dataset))
                return false
            }
            return true
        }
        for day in source.days {
            progress("\(day.path)")
            guard try await isWhole(day.path, day.title) else { continue }
            try await attempt(day.path) {
                var verifier = FileVerifier(day, context.report)
                try await verifier.run { _ in await context.pause() }
                files[day.day] = day
            }
        }
        for day in source.audit where try await isWhole(day.path, day.title) { audit.append(day) }
        guard let state = source.state, try await isWhole(state.path, state.title) else {
            return nil
        }
        return state
    }

    /// How often a day is looked at in which something differs. What the last one shows is told.
    private static let dayLookCount = 3
    /// Of those that a look before the last one shows, so many are kept.
    private static let heldDifferencesMax = 100

    /// So many looks at what is there between changes have to be the same.
    private static let sameLooks = 3

    private func rankedInFile(_ day: CivilDay) throws -> [Meter] {
        try files[day].map { try DayRestorer.rankedMeters(of: $0.path).map { $0 } } ?? []
    }

    /// What leaves Redis while it is looked at seems to be missing there.
    private func verifyHot(_ day: CivilDay, ranked: [Meter]) async throws {
        for look in 1...Self.dayLookCount {
            var found: [Difference] = []
            let isLast = look == Self.dayLookCount
            let verifier = DayVerifier(
                day, files[day], ranked: try await context.ranked(ranked, on: day),
                context.reporting(to: { [context] difference in
                    if found.count < Self.heldDifferencesMax {
                        found.append(difference)
                    } else if isLast {
                        context.report(difference)
                    }
                }))
            try await verifier.run()
            if found.isEmpty { return }
            if let revision = try await context.send(
                RedisCommand("HGET", [keys.cold, Array("\(day.number)".utf8)])
            ).decimal {
                return try await verifyCold(day, revision)
            }
            if isLast { return found.forEach(context.report) }
            await context.settle()
        }
    }

    private func verifyCold(_ day: CivilDay, _ revision: Int) async throws {
        let place = "cold day \(day)"
        guard let file = files[day] else {
            return context.report(
                Difference(place, "its file", expected: "one that is whole", found: "none"))
        }
        // It may have been written anew since the files were looked at, and have left then.
        let title = try SnapshotTitle(path: file.path)
        if title.revision != revision {
            context.report(
                Difference(
                    place, "revision of \(file.path)", expected: revision,
                    found: title.revision))
        }
        if !title.isFinal {
            context.report(
                Difference(place, "final in \(file.path)", expected: "true", found: "false"))
        }
        try await verifyGone(day, place)
    }

    /// Of a day that comes back there are keys before its mark goes: they grow meanwhile.
    private func verifyGone(_ day: CivilDay, _ place: String) async throws {
        let names = [keys.use(day), keys.hours(day), keys.day(day)]
        var looks: [[Int]] = []
        while looks.count < Self.sameLooks || Set(looks.suffix(Self.sameLooks)).count > 1 {
            if !looks.isEmpty { await context.settle() }
            var sizes: [Int] = []
            for name in names {
                let isThere = try await context.send(RedisCommand("EXISTS", [name])).integer == 1
                // What is of another type has no length, and does not grow.
                let size = try? await context.send(RedisCommand("HLEN", [name])).integer
                sizes.append(isThere ? size ?? 1 : 0)
            }
            guard sizes.contains(where: { $0 > 0 }),
                try await context.daysOf(keys.cold, in: "cold days")[day] != nil
            else { return }
            looks.append(sizes)
        }
        let count = looks.last?.count { $0 > 0 } ?? 0
        context.report(Difference(place, "keys in Redis", expected: 0, found: count))
    }

    // MARK: Redis

    /// The days that have boards, with the meters.
    private func boards() async throws -> [CivilDay: [Meter]] {
        var boards: [CivilDay: [Meter]] = [:]
        let prefix = keys.boardPattern.dropLast()
        try await context.eachKey(matching: keys.boardPattern) { name in
            let words = name.dropFirst(prefix.count).split(separator: UInt8(ascii: ":"))
            guard words.count == 2,
                let day = CivilDay(String(decoding: words[0], as: UTF8.self)),
                let meter = Meter(name: Array(words[1]))
            else { return }
            boards[day, default: []].append(meter)
        }
        return boards
    }

    private func verifyLifetimes(_ days: VerifiedDays) async throws {
        for look in 1...Self.lookCount {
            let places = try await days.places()
            // They cannot be recomputed.
            guard places.missing.isEmpty else { return }
            let verifier = try LifetimeVerifier(hot: places.hot, files: places.files, context)
            var found: [Difference] = []
            try await verifier.run { found.append($0) }
            if found.isEmpty { return }
            // Of a day that came or left meanwhile a part was not added up.
            if look < Self.lookCount, try await days.kept() != places.kept { continue }
            for difference in found { context.report(difference) }
            return
        }
    }

    // MARK: State

    /// The list by time has each receipt, and no others.
    private func verifyErasures() async throws {
        try await context.settled {
            let kept = try await self.texts("HKEYS", [self.keys.erasures])
            let all = [Array("0".utf8), Array("-1".utf8)]
            let listed = try await self.texts("ZRANGE", [self.keys.orderedErasures] + all)
            return kept.symmetricDifference(listed).map { id in
                let isKept = kept.contains(id)
                return Difference(
                    "erasure \(id)", isKept ? "the list by time" : "its receipt",
                    expected: "it", found: "nothing of it")
            }
        }
    }

    private func texts(_ command: StaticString, _ words: [[UInt8]]) async throws -> Set<String> {
        let reply = try await context.send(RedisCommand(command, words))
        return Set((reply.elements ?? []).compactMap(\.text))
    }

    /// The zone that the rules note is that by which the days are cut: engines count nothing by another.
    private func verifyZone(_ source: SnapshotSource) async throws {
        let reply = try await context.send(RedisCommand("HGET", [keys.rules, Array("zone".utf8)]))
        guard let noted = reply.text else { return }
        let settings = context.settings
        // Of `default` the zone is an option of the service; the files of its days tell it.
        let isKnown = settings.id != .default || !source.days.isEmpty
        let isFound = WorkspaceCalendar(zone: noted) != nil
        guard !isFound || isKnown && noted != settings.calendar.zone else { return }
        context.report(
            Difference(
                "rules", "zone", expected: isKnown ? settings.calendar.zone : "one that is known",
                found: noted))
    }

    /// Each part of the rules can be read: nothing is counted without.
    private func verifyRules() async throws {
        guard let what = try await RulesProbe.problem(context.client, context.settings) else {
            return
        }
        context.report(
            Difference("rules", what, expected: "to be readable", found: "something else"))
    }

    /// Rules and accounts as Redis has them, each of which can be read, against the file of the same revision.
    private func verify(_ state: (path: String, title: SnapshotTitle)?) async throws {
        let changes = try await stateChanges() ?? 0
        if let state, changes < state.title.revision {
            context.report(
                Difference(state.path, "revision", expected: changes, found: state.title.revision))
        }
        let path = "\(context.scratch)/state.json"
        unlink(path)
        let copy = try SnapshotFile(path: path)
        defer { copy.discard() }
        let snapshot = StateSnapshot(revision: changes, context.flushContext(ranked: []))
        try await snapshot.copy(to: copy)
        // If something has changed, before or meanwhile, the next flush writes it.
        guard let state, state.title.revision == changes,
            try await stateChanges() == changes
        else { return }
        var comparison = SnapshotComparison(
            place: "Redis against \(state.path)", report: context.report)
        // Time ends holds, and they are forgotten.
        comparison.isPassing = { list, _ in list == "holds" }
        try await comparison.run(state.path, path, lists: StateSnapshot.lists) {
            await context.pause()
        }
    }

    /// The audit log as Redis has it against the files of the same revision.
    private func verifyAudit() async throws {
        func changes() async throws -> [CivilDay: Int] {
            let list = try await AuditSnapshot.changes(context.client, keys)
            return Dictionary(list.map { ($0.day, $0.count) }) { $1 }
        }
        for day in audit {
            let (revision, count) = (day.title.revision, try await changes()[day.day] ?? 0)
            if count < revision {
                context.report(
                    Difference(day.path, "revision", expected: count, found: revision))
            }
            guard count == revision else { continue }
            let path = "\(context.scratch)/audit.json"
            unlink(path)
            let copy = try SnapshotFile(path: path)
            defer { copy.discard() }
            try await AuditSnapshot(context.flushContext(ranked: [])).copy(
                day.day, revision: revision, to: copy)
            guard try await changes()[day.day] == revision else { continue }
            try await SnapshotComparison(
                place: "Redis against \(day.path)", report: context.report
            ).run(day.path, path, lists: AuditSnapshot.lists) { await context.pause() }
        }
    }

    private func stateChanges() async throws -> Int? {
        let reply = try await context.send(
            RedisCommand("HGET", [keys.changes, Keyspace.stateChanges]))
        return reply.text.flatMap { Int($0) }
    }
}
