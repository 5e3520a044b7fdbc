// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Redis

extension SubjectEraser {
    /// As lua/include/account_fields.lua has holds.
    private static let holdSubject = 1
    private static let holdCreated = 5

    /// Takes the subject out of the log, and of what may have been made of it meanwhile.
    func eraseLog() async throws {
        let rewriter = StreamRewriter(client, keys, lease)
        let audited = try await auditedEvents(rewriter)
        let earlier = try await earlierErasures()
        var days: Set<CivilDay> = []
        let prefix = keys.logPattern.dropLast()
        try await eachKey(matching: keys.logPattern) { names in
            for name in names {
                let date = String(decoding: name.dropFirst(prefix.count), as: UTF8.self)
                if let day = CivilDay(date) { days.insert(day) }
            }
        }
        // Snapshots are brought back to their cuts by the logs of these days.
        try await holdSnapshots()
        for day in days.sorted() where day.number >= erasure.cut.floor {
            try await erase(day, rewriter, audited, earlier)
        }
        try await dropBoards()
        await releaseSnapshots()
        for day in days.sorted() where day.number < erasure.cut.floor {
            try await erase(day, rewriter, audited, earlier)
        }
        try await eachKey(matching: keys.markerPattern) { markers in
            _ = try await self.client.run(
                ScriptLibrary.voidMarkers, keys: markers, arguments: [])
        }
        guard let ended = erasure.endedAt else { return }
        // Those of what it used until it was taken out.
        try await eraseNotices(until: ended)
        erasure.add(
            try await eraseNamed(
                keys.holds, [keys.openHolds, keys.endedHolds], place: Self.holdSubject,
                time: (Self.holdCreated, ended)), to: .holds)
    }

    /// Erasures that took somebody out before this one did, and are not done with the log: what it names
    /// from before then is theirs. A name may have been used again.
    private func earlierErasures() async throws -> [Erasure] {
        var earlier: [Erasure] = []
        for id in try await store.open() where id != erasure.id {
            if let other = try await store.erasure(id), other.step == .log,
                other.tookOut(before: erasure)
            {
                earlier.append(other)
            }
        }
        return earlier
    }

    /// Rewrites the log of a day if the subject stands in it.
    ///
    /// - Parameters:
    ///   - audited: ids of events that the audit log names.
    ///   - earlier: erasures to which entries are left.
    private func erase(
        _ day: CivilDay, _ rewriter: StreamRewriter, _ audited: Set<ByteString>,
        _ earlier: [Erasure]
    ) async throws {
        let stream = keys.log(arrival: day)
        // As they stand in an entry.
        let texts = erasure.names.map { name in
            writer.string(name.bytes)
            return writer.take()
        }
        var stands = false
        try await rewriter.each(stream, holding: texts) { found in
            stands = self.erased(found, of: day, earlier).first != nil
            return !stands
        }
        guard stands else { return }
        let digest = IDDigest()
        // Entries may be gone through again; each counts once.
        var events: [[UInt8]: Int] = [:]
        try await rewriter.rewrite(stream, holding: texts) { found in
            let erased = self.erased(found, of: day, earlier)
            for (id, entry) in erased { events[id] = entry.eventCount }
            try await self.note(erased.flatMap { $0.entry.ids.map(\.id) }, audited)
            try await self.forgetIDs(erased, day, digest)
            return erased.map { ($0.id, $0.entry.fields) }
        }
        erasure.add(events.values.reduce(0, +), to: .events)
        try await store.save(erasure)
    }

    /// Ids of events that acts of administrators were about: reversals.
    private func auditedEvents(_ rewriter: StreamRewriter) async throws -> Set<ByteString> {
        var ids: Set<ByteString> = []
        try await rewriter.each(keys.audit, holding: [Array("/v1/events/".utf8)]) { found in
            for entry in found { ids.formUnion(AuditRedaction.events(in: entry.fields)) }
            return true
        }
        return ids
    }

    /// Notes which ids of the subject's events the audit log names, so that they are taken out of it.
    private func note(_ ids: [[UInt8]], _ audited: Set<ByteString>) async throws {
        let found = ids.map { ByteString(bytes: $0) }.filter {
            audited.contains($0) && !erasure.texts.contains($0)
        }
        guard !found.isEmpty else { return }
        erasure.texts += found
        try await store.save(erasure)
    }

    /// Those of some entries that hold something of the subject, without it.
    private func erased(
        _ found: [StreamRewriter.Entry], of day: CivilDay, _ earlier: [Erasure]
    ) -> [(id: [UInt8], entry: ErasedEntry)] {
        found.compactMap { entry in
            guard let number = Self.number(entry.id), number <= erasure.cut[day.number] else {
                return nil
            }
            var names = Set(erasure.names)
            for other in earlier where number <= other.cut[day.number] {
                names.subtract(other.names)
            }
            return ErasedEntry(entry.fields, of: names, for: erasure.anonymous, writer)
                .map { (entry.id, $0) }
        }
    }

    /// Of an entry of a log, whose ids are `0-NUMBER`.
    private static func number(_ id: [UInt8]) -> Int? {
        id.split(separator: UInt8(ascii: "-")).last.flatMap {
            Int(String(decoding: $0, as: UTF8.self))
        }
    }

    /// Forgets the ids that events of some entries had.
    private func forgetIDs(
        _ entries: [(id: [UInt8], entry: ErasedEntry)], _ day: CivilDay, _ digest: IDDigest
    ) async throws {
        var flat: [[UInt8]] = []
        for (id, entry) in entries {
            guard let number = Self.number(id) else { continue }
            let position = LogPosition(day.number * LogPosition.dayStride + number)
            for (id, place) in entry.ids {
                flat += [digest.digest(id), position.pointer(place: place).bytes]
            }
        }
        for start in stride(from: 0, to: flat.count, by: 1000) {
            let some = Array(flat[start..<min(start + 1000, flat.count)])
            // They are remembered by the day on which they came, by the same clock within minutes.
            let reply = try await client.run(
                ScriptLibrary.forgetIDs,
                keys: (day.number - 1...day.number + 1).map { keys.ids(generation: $0) },
                arguments: [packed(some)])
            erasure.add(reply.integer ?? 0, to: .eventIDs)
        }
    }

    /// Forgets the boards of windows: some of them may have read a part of the log before it was rewritten.
    private func dropBoards() async throws {
        var boards: Set<BoardID> = []
        let prefix = keys.windowPattern.dropLast()
        try await eachKey(matching: keys.windowPattern) { names in
            for name in names {
                var text = String(decoding: name.dropFirst(prefix.count), as: UTF8.self)
                if text.hasSuffix(":new") { text.removeLast(4) }
                if let board = BoardID(name: text) { boards.insert(board) }
            }
        }
        for board in boards {
            _ = try await client.run(
                ScriptLibrary.dropBoard,
                keys: [
                    keys.boardsBuilding, keys.newBoard(board), keys.board(board), keys.boards,
                    keys.boardsUsed,
                ],
                arguments: [
                    Array(board.name.utf8), [], Array("\(EventBatch.exactIntegerMax)".utf8),
                ])
        }
    }
}
