// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Observability
internal import Redis

extension QueryEngine {
    private static let lookMS = 1_000
    private static let scanCount = Array("400".utf8)

    /// Begins to erase a subject, unless that is under way; what it used is counted for an anonymous one
    /// from then on. Its API keys are revoked at once. What was counted since it was taken out is erased by
    /// another erasure. It is worked at in the background, here and by whoever comes after this process.
    ///
    /// - Parameter anonymous: the id to use, from `anonymousID(for:)`.
    /// - Returns: nil when nothing is known of the subject.
    /// - Throws: `EventRejection` (409 `guest_merged`) for a guest who is a user by now; `MeteringError`.
    public func erase(
        _ subject: SubjectID, as anonymous: SubjectID
    ) async throws -> Erasure? {
        let store = ErasureStore(try client, keys)
        let names = Set(try await erasableNames(of: subject).map(\.id))
        let owned = SubjectKeys(client: try client, keys: keys)
        let open = try await openErasure(of: subject)
        if let open, !open.hasTakenOut {
            try await owned.revoke(of: names, for: open.id)
            startErasing()
            return try await store.erasure(open.id)
        }
        let profile = try await profile(of: subject)
        let others = try await client.send(
            [keys.subjects, keys.accounts, keys.poolHolders, keys.alertsTold].map {
                RedisCommand("HEXISTS", [$0, subject.id.bytes])
            })
        var isKnown =
            profile != nil || names.count > 1 || others.contains { $0.integer == 1 }
        if !isKnown { isKnown = try await owned.areThere(of: names) }
        // Of one whose profile was deleted the audit log tells who it was; one under way goes through that.
        if !isKnown, open == nil { isKnown = try await isAudited(subject) }
        guard isKnown else { return open }
        let erasure = Erasure(
            of: subject, as: anonymous, texts: profile?.identifyingTexts ?? [], at: clock.now)
        let id = try await store.begin(erasure, of: subject)
        // Its receipt is there by now, which they are counted in.
        try await owned.revoke(of: names, for: id)
        startErasing()
        return try await store.erasure(id)
    }

    /// The subject, then the guests that were merged into it, if it can be erased.
    ///
    /// - Throws: `EventRejection` (409 `guest_merged`) for a guest who is a user by now; `MeteringError`.
    /// - Complexity: O(merged guests), in slices.
    public func erasableNames(of subject: SubjectID) async throws -> [SubjectID] {
        guard try await user(ofGuest: subject) == nil else {
            throw EventRejection.guestMerged
        }
        var guests: Set<ByteString> = []
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send(
                RedisCommand("HSCAN", [keys.merged, cursor, Array("COUNT".utf8), Self.scanCount]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements?.compactMap(\.bytes), pairs.count % 2 == 0
            else { throw MeteringError.damaged(what: "the merged guests") }
            for index in stride(from: 0, to: pairs.count, by: 2)
            where pairs[index + 1] == subject.id.bytes {
                guests.insert(ByteString(bytes: pairs[index]))
            }
            cursor = next
        } while cursor != Array("0".utf8)
        return [subject] + guests.sorted().map { SubjectID(stored: $0) }
    }

    /// Whether an act names a subject. O(acts), in slices of 100.
    private func isAudited(_ subject: SubjectID) async throws -> Bool {
        let redaction = try AuditRedaction(of: [subject.id], texts: [], as: subject)
        var cursor: AuditPosition?
        repeat {
            let page = try await auditPage(AuditQuery(), limit: 1000, after: cursor)
            if page.entries.contains(where: redaction.names) { return true }
            cursor = page.next
        } while cursor != nil
        return false
    }

    /// The anonymous subject of the erasure that is under way, or a new one.
    public func anonymousID(for subject: SubjectID) async throws -> SubjectID {
        let open = try await openErasure(of: subject)
        return open.flatMap { $0.hasTakenOut ? nil : $0.anonymous }
            ?? Erasure.makeAnonymous(for: subject)
    }

    /// The erasure of a subject that is under way.
    func openErasure(of subject: SubjectID) async throws -> Erasure? {
        let store = ErasureStore(try client, keys)
        for id in try await store.open() {
            if let erasure = try await store.erasure(id), erasure.isOf(subject), !erasure.isDone {
                return erasure
            }
        }
        return nil
    }

    /// An erasure by its id; nil when there is none.
    public func erasure(_ id: String) async throws(MeteringError) -> Erasure? {
        try await ErasureStore(try client, keys).erasure(id)
    }

    /// An erasure by its id when it is done, or as it is after some time; nil when there is none.
    public func erasure(
        _ id: String, withinMS patience: Int
    ) async throws(MeteringError) -> Erasure? {
        let deadline = clock.monotonicMS + patience
        while true {
            let erasure = try await erasure(id)
            guard let erasure, !erasure.isDone, clock.monotonicMS < deadline else {
                return erasure
            }
            await loop.sleep(for: .milliseconds(10))
        }
    }

    /// Erasures behind `offset` others, the last first. O(limit).
    ///
    /// - Parameter limit: 1 to 1000.
    public func erasures(offset: Int, limit: Int) async throws(MeteringError) -> [Erasure] {
        try await ErasureStore(try client, keys).page(offset: offset, limit: limit)
    }

    /// Goes on with the erasures that are under way, one after the other.
    ///
    /// - Returns: why one of them does not go on, for the first of these; nil for none.
    @discardableResult
    public func goOnErasing() async -> String? {
        if let erasing { return await erasing.value }
        let task = Task {
            // Ended by itself: who waited and comes back before the one who began it gets another round.
            defer { erasing = nil }
            return await eraseAll()
        }
        erasing = task
        return await task.value
    }

    private func startErasing() { Task { await goOnErasing() } }

    private func eraseAll() async -> String? {
        var problem: String?
        do {
            let store = ErasureStore(try client, keys)
            for id in try await store.open() {
                guard let erasure = try await store.erasure(id) else { continue }
                do {
                    guard try await eraser(erasure).run() else { continue }
                    logger.notice("a subject was erased", ["erasure": id])
                } catch {
                    problem = problem ?? "\(error)"
                    logger.warning(
                        "an erasure does not go on", ["erasure": id, "reason": "\(error)"])
                    try await note("\(error)", in: id, store)
                }
            }
        } catch {
            return problem ?? "\(error)"
        }
        return problem
    }

    private func note(
        _ problem: String, in id: String, _ store: ErasureStore
    ) async throws(MeteringError) {
        guard var erasure = try await store.erasure(id), !erasure.isDone else { return }
        erasure.problem = problem
        try await store.save(erasure)
    }

    private func eraser(_ erasure: Erasure) throws -> SubjectEraser {
        let client = try client
        let engine =
            moving
            ?? MeteringEngine(
                on: loop, client: client, settings: settings, clock: clock,
                metrics: MeteringMetrics(metrics),
                thaw: { [weak self] day in await self?.thaw(day) }, waitMS: 10_000)
        moving = engine
        return SubjectEraser(
            erasure,
            SubjectEraser.Context(
                queries: self, loop: loop, client: client, settings: settings, clock: clock,
                archive: try archive, engine: engine, data: data, metrics: metrics,
                logger: logger))
    }

    /// Looks for erasures that were left behind, until the engine is stopped.
    func keepErasing() async {
        while let client = try? client {
            if client.isReady, erasing == nil { await goOnErasing() }
            await loop.sleep(for: .milliseconds(Self.lookMS))
        }
    }
}
