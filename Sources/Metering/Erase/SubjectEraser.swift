// SPDX-License-Identifier: Apache-2.0
//
// What a person used is moved to an anonymous subject, by batches that move what was counted, as merges of guests
// do: so sums, ranks and days stay as they are. When nothing is counted for the person any more, one script takes
// it out of all that is kept by subject; from that moment on its id is one that was never used. What is left
// names it in places that nothing is counted by: logs, files. See docs/adr/0019.

internal import EventLoop
internal import Observability
internal import Redis

/// Goes on with an erasure until it is done. On its loop's thread only.
final class SubjectEraser {
    /// What it works with.
    struct Context {
        let queries: QueryEngine
        let loop: EventLoop
        let client: RedisClient
        let settings: WorkspaceSettings
        let clock: any Clock
        let archive: Archive
        let engine: MeteringEngine
        /// The folder that `rollups` is in.
        let data: String
        let metrics: MetricsRegistry
        let logger: Logger
    }

    /// Whoever stands still for so long is overtaken.
    private static let leaseMS = 10_000
    private static let holdBackMS = 3_000
    private static let scanCount = Array("400".utf8)

    let context: Context
    let keys: Keyspace
    let store: ErasureStore
    let lease: FlushLease
    /// Held while readers that go through all subjects or the ends of the log must not be at work.
    private let snapshots: FlushLease
    let writer = MessagePackWriter()
    var erasure: Erasure
    private var holdsSnapshots = false
    private var holdsBack = false

    var client: RedisClient { context.client }
    var names: [[UInt8]] { erasure.names.map(\.bytes) }
    var subject: SubjectID { SubjectID(stored: erasure.names.first ?? .empty) }

    init(_ erasure: Erasure, _ context: Context) {
        self.erasure = erasure
        self.context = context
        keys = Keyspace(context.settings)
        store = ErasureStore(context.client, keys)
        lease = FlushLease(
            context.client, keys, lengthMS: Self.leaseMS, context.clock, key: keys.eraseLease)
        snapshots = FlushLease(context.client, keys, lengthMS: Self.leaseMS, context.clock)
    }

    /// Works until it is done; false when another process is at work.
    func run() async throws -> Bool {
        guard try await lease.take() else { return false }
        do {
            // Another process may have gone on with it.
            if let now = try await store.erasure(erasure.id) { erasure = now }
            repeat { try await takeStep() } while !erasure.isDone
        } catch {
            await releaseSnapshots()
            await lease.giveBack()
            throw error
        }
        await releaseSnapshots()
        await lease.giveBack()
        return true
    }

    private func takeStep() async throws {
        try await keep()
        switch erasure.step {
        case .person:
            try await findNames()
            try await erasePerson()
            erasure.step = .usage
        case .usage:
            guard try await eraseUsage() else {
                // A part of it may have been moved before.
                try await noteKept()
                // The mark was the erasure's own by now.
                if erasure.isDemo { _ = try await send("SREM", [keys.demo, names[0]]) }
                erasure.endMerged(at: context.clock.now)
                return try await store.save(erasure)
            }
            // The script has noted that this is done.
            guard let now = try await store.erasure(erasure.id), now.step == .log else {
                throw MeteringError.damaged(what: "the erasures")
            }
            erasure = now
        case .log:
            try await eraseLog()
            erasure.step = .audit
        case .audit:
            try await eraseAudit()
            erasure.step = .files
        case .files:
            try await eraseFiles()
            try await noteKept()
            // Before the append-only file is rewritten, which has this record, too.
            (erasure.names, erasure.texts) = ([], [])
            erasure.step = .appendOnlyFile
        case .appendOnlyFile:
            erasure.appendOnlyFile = try await rewriteAppendOnlyFile()
            erasure.endedAt = context.clock.now
            erasure.step = .done
        case .done:
            // By a version that noted the end in two steps, and was killed between them.
            break
        }
        erasure.problem = nil
        try await store.save(erasure)
    }

    /// What the anonymous subject has now.
    private func noteKept() async throws {
        guard let record = try await context.queries.record(of: erasure.anonymous) else { return }
        erasure.keptEventCount = record.eventCount
        erasure.kept = record.meters.filter { $0.total != 0 }.map { ($0.meter, $0.total) }.sorted {
            $0.meter.name < $1.meter.name
        }
    }

    // MARK: Leases

    /// Keeps the right to work.
    func keep() async throws {
        try await lease.keep(now: false)
        if holdsSnapshots { try await snapshots.keep(now: false) }
        if holdsBack { try await holdBack() }
    }

    /// Has callers who count the subject told to ask again, until it is let go or some seconds are over. Whether
    /// it can be taken out does not hang on it: the script looks at that.
    func holdBack() async throws {
        _ = try await send(
            "SET", [keys.erasing, names[0], Array("PX".utf8), Array("\(Self.holdBackMS)".utf8)])
        holdsBack = true
    }

    func letGo() async throws {
        if holdsBack { _ = try await send("DEL", [keys.erasing]) }
        holdsBack = false
    }

    /// Waits until no snapshot is being written, and lets none be begun.
    func holdSnapshots() async throws {
        while !holdsSnapshots {
            holdsSnapshots = try await snapshots.take()
            guard !holdsSnapshots else { return }
            await pause()
            try await lease.keep(now: false)
        }
    }

    func releaseSnapshots() async {
        if holdsSnapshots { await snapshots.giveBack() }
        holdsSnapshots = false
    }

    func pause() async { await context.loop.sleep(for: .milliseconds(20)) }

    // MARK: Redis

    func send(_ name: StaticString, _ arguments: [[UInt8]]) async throws -> RedisValue {
        try await client.send(RedisCommand(name, arguments))
    }

    /// Goes through the names of keys, some of them twice.
    func eachKey(
        matching pattern: [UInt8], _ body: ([[UInt8]]) async throws -> Void
    ) async throws {
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send(
                "SCAN",
                [cursor, Array("MATCH".utf8), pattern, Array("COUNT".utf8), Array("1000".utf8)])
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let names = parts[1].elements?.compactMap(\.bytes)
            else { throw RedisError.unexpectedReply("SCAN") }
            for start in stride(from: 0, to: names.count, by: 50) {
                try await body(Array(names[start..<min(start + 50, names.count)]))
            }
            try await keep()
            cursor = next
        } while cursor != Array("0".utf8)
    }

    /// Goes through the fields of a hash and their values, some of them twice.
    func eachField(
        of hash: [UInt8], _ body: (_ field: [UInt8], _ value: [UInt8]) -> Void
    ) async throws {
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send(
                "HSCAN", [hash, cursor, Array("COUNT".utf8), Self.scanCount])
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements?.compactMap(\.bytes), pairs.count % 2 == 0
            else { throw RedisError.unexpectedReply("HSCAN") }
            for index in stride(from: 0, to: pairs.count, by: 2) {
                body(pairs[index], pairs[index + 1])
            }
            try await keep()
            cursor = next
        } while cursor != Array("0".utf8)
    }

    /// Takes what is about the subject out of a hash and of the sorted sets of its fields.
    ///
    /// - Parameters:
    ///   - place: where a value has its subject.
    ///   - time: where it has when it was made, and the last such time that is meant.
    /// - Returns: how many were taken out.
    func eraseNamed(
        _ hash: [UInt8], _ sets: [[UInt8]], place: Int, time: (place: Int, last: Timestamp)
    ) async throws -> Int {
        var cursor = Array("0".utf8)
        var count = 0
        repeat {
            let reply = try await client.run(
                ScriptLibrary.eraseNamed, keys: [hash] + sets,
                arguments: [
                    cursor, Array("200".utf8), packed(names), Array("\(place)".utf8),
                    Array("\(time.place)".utf8), Array("\(time.last.milliseconds)".utf8),
                ])
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let gone = parts[1].integer
            else { throw RedisError.unexpectedReply("erase_named") }
            count += gone
            try await keep()
            cursor = next
        } while cursor != Array("0".utf8)
        return count
    }

    func packed(_ texts: [[UInt8]]) -> [UInt8] {
        write(texts)
        return writer.take()
    }

    func write(_ texts: [[UInt8]]) {
        writer.array(texts.count)
        for text in texts { writer.string(text) }
    }
}
