// SPDX-License-Identifier: Apache-2.0

public import Observability
public import Redis

/// Writes a snapshot of every day that changed, and of every day that became final.
///
/// One of many processes writes at a time; the others leave it to it, or write later what their own
/// folder lacks. On its loop's thread only, which the files may hold up: it needs a loop of its own.
public final class Flusher {
    public struct Options: Sendable {
        /// How long a process that stands still keeps the others from writing.
        public var leaseMS = 10_000
        /// Room for the ids of a day's subjects.
        public var idByteCountMax = 32 << 20

        public init() {}
    }

    /// What one turn came to.
    public struct Report: Sendable {
        public var days: [CivilDay] = []
        /// What went wrong, in words; nil for nothing.
        public var problem: String?
        /// Whether another process writes now.
        public var isElsewhere = false

        public init() {}
    }

    /// Clocks of other processes may be behind.
    private static let graceMS = 600_000
    /// How often it is told how far a turn is that takes long.
    private static let tellingMS = 5_000

    private let client: RedisClient
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let options: Options
    private let metrics: FlushMetrics
    private let logger: Logger
    private let keys: Keyspace
    private let data: String
    private let folder: SnapshotFolder
    private let lease: FlushLease
    private var hasSwept = false
    private var reading: Archive?

    /// - Parameter data: the folder that `rollups` is to be in.
    public init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock, data: String,
        metrics: FlushMetrics, logger: Logger, options: Options = Options()
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.options = options
        self.metrics = metrics
        self.logger = logger
        keys = Keyspace(settings)
        self.data = data
        folder = SnapshotFolder(data: data, workspace: settings.id)
        lease = FlushLease(client, keys, lengthMS: options.leaseMS, clock)
    }

    /// Writes what is due, the last day first.
    ///
    /// - Parameter deadlineMS: of the monotonic clock; what cannot be done by then is given up.
    public func flush(deadlineMS: Int = .max) async -> Report {
        var report = Report()
        let began = clock.monotonicMS
        do throws(FlushError) {
            // Days that are cut by another zone are for those to write who go by it.
            guard try await isOfZone(), try await lease.take() else {
                report.isElsewhere = true
                return report
            }
            if !hasSwept { folder.sweep(fence: lease.fence) }
            hasSwept = true
            let archive = try archive()
            let cold = try await coldDays(archive)
            let days = try await changedDays()
            try checkCold(archive, &report)
            let due = try await dueDays(days.filter { !cold.contains($0.0) }, &report)
            // At the end of a process the days of now come first.
            if due.count > 2, deadlineMS == .max { try await closeDays(deadlineMS) }
            var toldMS = began
            for (index, (day, isFinal)) in due.enumerated() {
                try await flush(day, isFinal, deadlineMS, &report)
                guard due.count > 1, clock.monotonicMS - toldMS > Self.tellingMS else { continue }
                toldMS = clock.monotonicMS
                logger.notice("writing snapshots: \(index + 1) of \(due.count) days")
            }
            var left = cold.count
            for (day, changes) in days where !cold.contains(day) {
                if try await evict(day, changes, archive, deadlineMS, &report) { left += 1 }
            }
            metrics.note(self) { ($0.hotDays, $0.coldDays) = (days.count - left, left) }
            try await flushState(deadlineMS, &report)
            try await AuditSnapshot(context(deadlineMS)).flush { note($1, $0, &report) }
        } catch {
            note(error, nil, &report)
        }
        await lease.giveBack()
        if report.isElsewhere {
            metrics.forget(self)
        } else {
            metrics.note(self) {
                if report.problem == nil { $0.lastSuccess = clock.now.milliseconds / 1000 }
            }
        }
        if report.problem != nil { metrics.failures.add() }
        if !report.days.isEmpty { metrics.seconds.observe((clock.monotonicMS - began) * 1000) }
        return report
    }

    deinit { metrics.forget(self) }

    private func isOfZone() async throws(FlushError) -> Bool {
        let zone = try await send(RedisCommand("HGET", [keys.rules, Array("zone".utf8)])).bytes
        return zone.map { $0 == Array(settings.calendar.zone.utf8) } ?? true
    }

    private func flush(
        _ day: CivilDay, _ isFinal: Bool, _ deadlineMS: Int, _ report: inout Report
    ) async throws(FlushError) {
        let context = context(deadlineMS)
        do {
            do {
                try await DaySnapshot(of: day, isFinal: isFinal, isThorough: false, context).write()
            } catch .unequal {
                // An event that is undone, and its subject gone on to the next day, between the cut
                // and the scan leaves nothing to find: rare enough to cut anew.
                try await DaySnapshot(of: day, isFinal: isFinal, context).write()
            }
            report.days.append(day)
            metrics.days.add()
        } catch {
            guard error.concernsOneFile else { throw error }
            note(error, day, &report)
        }
    }

    /// Lets subjects leave days that are over, once for all days that are due: each of these would
    /// look at all subjects otherwise.
    private func closeDays(_ deadlineMS: Int) async throws(FlushError) {
        let context = context(deadlineMS)
        let closer = DayCloser(client: client, settings: settings, clock: clock)
        do {
            try await closer.closeDays { try await context.checkpoint() }
        } catch let error as FlushError {
            throw error
        } catch let error as RedisError {
            throw .redis(error)
        } catch {
            throw .damaged("\(error)")
        }
    }

    private func context(_ deadlineMS: Int) -> FlushContext {
        FlushContext(
            client: client, settings: settings, folder: folder, clock: clock, lease: lease,
            dataset: lease.dataset, deadlineMS: deadlineMS, idByteCountMax: options.idByteCountMax,
            logger: logger)
    }

    /// Writes the state if it changed.
    private func flushState(_ deadlineMS: Int, _ report: inout Report) async throws(FlushError) {
        try await followUsage(deadlineMS)
        let reply = try await send(
            RedisCommand("HGET", [keys.changes, Keyspace.stateChanges]))
        let text = reply.bytes.map { String(decoding: $0, as: UTF8.self) } ?? "0"
        guard var changes = Int(text) else { throw .damaged("the counts of changes") }
        if changes == 0, try await isInDirectory() {
            // Of before changes of settings and keys were counted.
            try await raiseChanges(of: Keyspace.stateChanges, by: 1)
            changes = 1
        }
        do throws(FlushError) {
            var revision = changes
            if let head = try folder.stateHead() {
                guard head.dataset == lease.dataset else {
                    throw .foreign(SnapshotFolder.foreign(folder.stateFile))
                }
                // What an older version wrote has not all that there is now.
                if head.revision == changes, head.listCount == StateSnapshot.lists.count { return }
                if head.revision > changes {
                    // As for days: Redis has lost its last moments.
                    revision = head.revision + 1
                    try await raiseChanges(of: Keyspace.stateChanges, by: revision - changes)
                }
            } else if changes == 0 {
                return
            }
            try await StateSnapshot(revision: revision, context(deadlineMS)).write()
        } catch {
            guard error.concernsOneFile else { throw error }
            note(error, nil, &report)
        }
    }

    /// Whether the workspace has settings or API keys.
    private func isInDirectory() async throws(FlushError) -> Bool {
        let name = Array(settings.id.text.utf8)
        if try await send(RedisCommand("HEXISTS", [DirectoryKeyspace.workspaces, name])).integer
            == 1
        {
            return true
        }
        return try await send(RedisCommand("EXISTS", [keys.apiKeys])).integer == 1
    }

    /// Brings first and last times of subjects up, so that the file tells what the days' files do.
    private func followUsage(_ deadlineMS: Int) async throws(FlushError) {
        let follower = UsageFollower(client: client, settings: settings, clock: clock)
        do throws(MeteringError) {
            // What is left of a long log is followed while the service runs.
            let end = min(deadlineMS, clock.monotonicMS + options.leaseMS / 4)
            _ = try await follower.catchUp(deadlineMS: end)
        } catch {
            logger.warning("the log was not followed", ["reason": "\(error)"])
        }
        try await context(deadlineMS).checkpoint()
    }

    private func note(_ error: FlushError, _ day: CivilDay?, _ report: inout Report) {
        // What another process has done, or will do, needs nobody's care.
        switch error {
        case .superseded: return
        case .leaseLost:
            report.isElsewhere = true
            return
        default: break
        }
        let problem = (day.map { "\($0): " } ?? "") + "\(error)"
        report.problem = report.problem ?? problem
        logger.error("a snapshot was not written", ["reason": problem])
    }

    /// The days whose snapshot is older than what is counted, or is not marked final in time.
    private func dueDays(
        _ days: [(CivilDay, Int)], _ report: inout Report
    ) async throws(FlushError) -> [(day: CivilDay, isFinal: Bool)] {
        var due: [(day: CivilDay, isFinal: Bool)] = []
        for (day, changes) in days {
            let end = settings.calendar.start(of: CivilDay(number: day.number + 1))
            let isFinal = end * 1000 + settings.lateMS + Self.graceMS <= clock.now.milliseconds
            do throws(FlushError) {
                guard let head = try folder.head(day) else {
                    due.append((day, isFinal))
                    continue
                }
                guard head.dataset == lease.dataset else {
                    throw .foreign(SnapshotFolder.foreign(folder.file(day)))
                }
                if head.revision > changes {
                    // Redis has lost its last moments since. They have to be counted anew, under
                    // numbers that the file does not have.
                    try await raiseChanges(
                        of: Array("\(day.number)".utf8), by: head.revision - changes + 1)
                } else if head.revision == changes, head.isFinal || !isFinal {
                    continue
                }
                due.append((day, isFinal))
            } catch {
                guard error.concernsOneFile else { throw error }
                note(error, day, &report)
            }
        }
        return due.sorted { $0.day > $1.day }
    }

    // MARK: Days that leave

    private func archive() throws(FlushError) -> Archive {
        if let reading { return reading }
        do {
            let archive = try Archive(
                client: client, settings: settings, data: data, metrics: metrics.registry)
            reading = archive
            return archive
        } catch {
            throw .damaged("\(error)")
        }
    }

    private func coldDays(_ archive: Archive) async throws(FlushError) -> Set<CivilDay> {
        do {
            return try await archive.coldDays()
        } catch .unavailable(let error) {
            throw .redis(error)
        } catch {
            throw .damaged("\(error)")
        }
    }

    /// Tells the days that are in no file of this folder, though they have left Redis.
    private func checkCold(_ archive: Archive, _ report: inout Report) throws(FlushError) {
        for (day, revision) in archive.revisions {
            guard let head = try folder.head(day), head.dataset == lease.dataset,
                head.revision >= revision
            else {
                note(.lost(archive.name(day)), day, &report)
                continue
            }
        }
    }

    /// Lets a day leave Redis if it may. A file that turns out damaged is written anew from there.
    private func evict(
        _ day: CivilDay, _ changes: Int, _ archive: Archive, _ deadlineMS: Int,
        _ report: inout Report
    ) async throws(FlushError) -> Bool {
        let eviction = DayEviction(client, settings, clock, archive)
        guard eviction.isOld(day), clock.monotonicMS <= deadlineMS else { return false }
        try await lease.keep(now: false)
        do {
            guard try await eviction.evict(day, changes: changes) else { return false }
            logger.notice("a day has left Redis for its file", ["day": "\(day)"])
            return true
        } catch let error as FlushError {
            throw error
        } catch ArchiveError.missing {
            // Told when it could not be written.
            return false
        } catch {
            logger.warning("a snapshot is written anew", ["reason": "\(error)"])
            try await flush(day, true, deadlineMS, &report)
            return false
        }
    }

    private func changedDays() async throws(FlushError) -> [(CivilDay, Int)] {
        let reply = try await send(RedisCommand("HGETALL", [keys.changes])).elements ?? []
        var days: [(CivilDay, Int)] = []
        for index in stride(from: 0, to: reply.count - 1, by: 2)
        where reply[index].bytes != Keyspace.stateChanges {
            guard
                let day = reply[index].bytes.flatMap({ Int(String(decoding: $0, as: UTF8.self)) }),
                let count = reply[index + 1].bytes.flatMap({
                    Int(String(decoding: $0, as: UTF8.self))
                })
            else { throw .damaged("the counts of changes") }
            days.append((CivilDay(number: day), count))
        }
        return days
    }

    private func raiseChanges(of field: [UInt8], by count: Int) async throws(FlushError) {
        _ = try await send(
            RedisCommand("HINCRBY", [keys.changes, field, Array("\(count)".utf8)]))
    }

    private func send(_ command: RedisCommand) async throws(FlushError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .redis(error)
        }
    }
}
