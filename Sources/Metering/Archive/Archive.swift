// SPDX-License-Identifier: Apache-2.0
//
// Days that have left Redis are read from their files (docs/snapshots.md). What a file says counts
// only when it is whole, of these data, and at least as new as Redis says that it is; otherwise the
// caller gets an error to tell, and never nothing to add.

internal import JSON
internal import Observability
internal import Redis

/// Reads the days of a workspace from their snapshots. On its loop's thread only, which files may
/// hold up for as long as a piece of a mebibyte takes.
final class Archive {
    /// Subjects that `eachSubject` gives at once.
    static let sliceCount = 200
    /// Days whose files were checked, and whose heads are kept.
    private static let checkedMax = 4000
    private static let headMax = 400
    private static let cellMax = 150_000

    /// What came of checking a file.
    private typealias Check = Result<ArchiveLayout, ArchiveError>

    private let client: RedisClient
    private let keys: Keyspace
    private let workspace: WorkspaceID
    private let folder: SnapshotFolder
    private let damaged: Counter
    private let lines: ArchiveLineReader
    private var checked: [CivilDay: (identity: ArchiveFile.Identity, check: Check)] = [:]
    private var heads: [CivilDay: (identity: ArchiveFile.Identity, head: ArchivedDay, use: Int)] =
        [:]
    private var cellCount = 0
    private var uses = 0
    /// What Redis said last: the name of its data, and which revision each cold day's file has.
    private(set) var dataset: String?
    private(set) var revisions: [CivilDay: Int] = [:]
    /// When the data were restored from snapshots; nil if they were not.
    private var restoredAt: Timestamp?

    init(client: RedisClient, settings: WorkspaceSettings, data: String, metrics: MetricsRegistry)
        throws(JSONError)
    {
        self.client = client
        workspace = settings.id
        keys = Keyspace(settings)
        folder = SnapshotFolder(data: data, workspace: settings.id)
        damaged = metrics.counter(
            "tally_snapshots_damaged_total",
            help: "Snapshots that were found damaged when they were read.")
        lines = try ArchiveLineReader()
    }

    /// The days that have left Redis. To be asked before and after reading a day's keys: a day may
    /// leave, or come back, in between.
    func coldDays() async throws(MeteringError) -> Set<CivilDay> {
        let replies = try await send([Self.aboutData(keys), RedisCommand("HGETALL", [keys.cold])])
        guard replies.count == 2, let reply = replies[1].elements else {
            throw .damaged(what: "the list of days that have left")
        }
        var revisions: [CivilDay: Int] = [:]
        for index in stride(from: 0, to: reply.count - 1, by: 2) {
            guard let day = reply[index].decimal, let revision = reply[index + 1].decimal else {
                throw .damaged(what: "the list of days that have left")
            }
            revisions[CivilDay(number: day)] = revision
        }
        noteData(replies[0])
        self.revisions = revisions
        return Set(revisions.keys)
    }

    /// Whether a day has left Redis; the revision of its file, or nil.
    func revision(ofCold day: CivilDay) async throws(MeteringError) -> Int? {
        let replies = try await send([
            Self.aboutData(keys), RedisCommand("HGET", [keys.cold, Array("\(day.number)".utf8)]),
        ])
        guard let data = replies.first, let reply = replies.last, replies.count == 2 else {
            throw .damaged(what: "the list of days that have left")
        }
        if reply.bytes != nil, reply.decimal == nil {
            throw .damaged(what: "the list of days that have left")
        }
        noteData(data)
        revisions[day] = reply.decimal
        return reply.decimal
    }

    /// What the file of a day says but for single subjects. O(1) when it was read before.
    func head(_ day: CivilDay) async throws(ArchiveError) -> ArchivedDay {
        let (file, layout) = try await open(day)
        if let known = heads[day], known.identity == file.identity {
            uses += 1
            heads[day]?.use = uses
            return known.head
        }
        do throws(ArchiveError) {
            let head = try await ArchivedDay(day, from: file, layout, lines)
            keep(head, file)
            return head
        } catch {
            damaged.add()
            keep(.failure(error), file, day)
            throw error
        }
    }

    /// What a subject used on a day; nil for nothing. O(log subjects) reads of a few KiB.
    func use(
        of subject: SubjectID, on day: CivilDay
    ) async throws(ArchiveError) -> ArchivedSubject? {
        let (file, layout) = try await open(day)
        return try file.subject(subject.id.bytes, layout, lines)
    }

    /// Gives all subjects of a day, in the order of their ids, in slices of at most 200. It stays
    /// with the file that it began with.
    func eachSubject(
        of day: CivilDay, _ body: ([ArchivedSubject]) async throws -> Void
    ) async throws {
        let (file, layout) = try await open(day)
        var reader = ArchiveSubjects(file, layout, lines)
        while let slice = try reader.next(Self.sliceCount) {
            try await body(slice)
            await Task.yield()
        }
    }

    /// Whether the subjects of a day can be read; of a day that has not left Redis they can.
    func isReadable(_ day: CivilDay) async -> Bool {
        guard revisions[day] != nil else { return true }
        do throws(ArchiveError) {
            let (file, layout) = try await open(day)
            var reader = ArchiveSubjects(file, layout, lines)
            _ = try reader.next(Self.sliceCount)
            return true
        } catch {
            return false
        }
    }

    // MARK: Parts

    /// As messages name it.
    func name(_ day: CivilDay) -> String { folder.name(day) }

    private static func aboutData(_ keys: Keyspace) -> RedisCommand {
        RedisCommand(
            "HMGET", [keys.meta, Array("dataset".utf8), Array("restored_at".utf8)])
    }

    private func noteData(_ reply: RedisValue) {
        let facts = reply.elements ?? []
        dataset = facts.first?.text
        restoredAt = facts.last?.decimal.map { Timestamp(milliseconds: $0) }
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }

    /// Opens the file of a day; it is checked if it was not as it is now. Whether it is of these data,
    /// and no older than Redis says, is compared each time.
    private func open(
        _ day: CivilDay
    ) async throws(ArchiveError) -> (ArchiveFile, ArchiveLayout) {
        let file = try ArchiveFile(path: folder.file(day), name: name(day))
        let layout = try await layout(of: file, day)
        if let dataset, layout.facts.dataset != dataset {
            throw file.damaged("it is of other data than those in Redis")
        }
        if let revision = revisions[day], layout.facts.revision < revision {
            throw file.damaged(
                "its revision is \(layout.facts.revision), and \(revision) was written")
        }
        // An older backup may have been restored beside files that had gone on. What this Redis has written and
        // forgotten, being killed, is newer than the restore.
        if let revision = revisions[day], layout.facts.revision > revision, let restoredAt,
            let writtenAt = layout.facts.writtenAt,
            writtenAt.milliseconds <= restoredAt.milliseconds
        {
            throw file.damaged(
                "it is of revision \(layout.facts.revision), and revision \(revision) was restored since"
            )
        }
        return (file, layout)
    }

    private func layout(
        of file: ArchiveFile, _ day: CivilDay
    ) async throws(ArchiveError) -> ArchiveLayout {
        if let known = checked[day], known.identity == file.identity {
            return try known.check.get()
        }
        do throws(ArchiveError) {
            let layout = try await ArchiveLayout(checking: file)
            guard layout.facts.date == "\(day)", layout.facts.workspace == workspace.text else {
                throw file.damaged("it is of another day or workspace")
            }
            keep(.success(layout), file, day)
            return layout
        } catch {
            damaged.add()
            keep(.failure(error), file, day)
            throw error
        }
    }

    private func keep(_ check: Check, _ file: ArchiveFile, _ day: CivilDay) {
        // Written to twice in one tick of the disk's clock, a file would seem to be what it was.
        guard !file.isFresh else { return }
        if checked.count >= Self.checkedMax { checked = [:] }
        checked[day] = (file.identity, check)
    }

    /// Keeps a head, and forgets those that were asked for longest ago.
    private func keep(_ head: ArchivedDay, _ file: ArchiveFile) {
        forget(head.day)
        guard !file.isFresh else { return }
        uses += 1
        heads[head.day] = (file.identity, head, uses)
        cellCount += head.cells.count
        while heads.count > Self.headMax || cellCount > Self.cellMax,
            let oldest = heads.min(by: { $0.value.use < $1.value.use })?.key
        {
            forget(oldest)
        }
    }

    private func forget(_ day: CivilDay) {
        guard let old = heads.removeValue(forKey: day) else { return }
        cellCount -= old.head.cells.count
    }
}

extension RedisValue {
    /// An integer that is kept as text.
    var decimal: Int? { bytes.flatMap { Int(String(decoding: $0, as: UTF8.self)) } }
}
