// SPDX-License-Identifier: Apache-2.0
//
// A board in Redis, and what this process knows of it. Nothing of that has to be right: every change
// names the state that it was made from, and is not made from any other.

internal import Redis

/// A board that several days or all of them make up, brought up along the log.
final class WindowBoard {
    /// Subjects per script call, patient or not: Redis takes 10 to 20 µs for each of them where a board
    /// has a million.
    private static let sliceCounts = (patient: 25, other: 50)
    /// Up to so many subjects each slice is waited for before the next one is sent: Redis carries out all
    /// that it has of one connection before it looks at the others, so that events and questions would
    /// wait for all slices instead of one. A board that is further behind is to get ahead.
    private static let patientCount = 100
    /// How much of the log goes into one change.
    private static let itemsPerChunk = 4000
    /// How often it is tried before somebody is told that it cannot be.
    private static let triesMax = 200

    /// What the log holds behind a state.
    private struct Chunk {
        var sums: [ByteString: Int] = [:]
        var target: LogEnds
        var isLast = true
    }

    let id: BoardID
    private let meter: Int
    private let follower: LogFollower
    private let client: RedisClient
    private let reader: BoardReader
    private let writer = MessagePackWriter()
    private var known: (packed: [UInt8], state: BoardState)?
    private var generation = 0
    private var isChanging = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ id: BoardID, _ meter: Int, _ follower: LogFollower, _ reader: BoardReader) {
        self.id = id
        self.meter = meter
        self.follower = follower
        self.reader = reader
        client = reader.client
    }

    /// Whether it followed a clock that was ahead, as far as that is known.
    var hasPassed: Bool { known.map { follower.hasPassed($0.state.ends) } ?? false }

    /// Reads a part of it as it is at a moment after the call; nil when there is no such board.
    func read(
        _ ask: BoardAsk
    ) async throws(MeteringError) -> (part: BoardPart, state: BoardState)? {
        try await follower.advance()
        let needed = follower.ends
        for _ in 0..<Self.triesMax {
            try await bringUp()
            let part = try await reader.window(id, ask)
            if part.state.isEmpty {
                known = nil
                return nil
            }
            guard let state = BoardState(part.state) else { throw .damaged(what: "boards") }
            if state.pending == nil, state.ends.reaches(needed) { return (part, state) }
            // Somebody else is in the middle of a change, or ours was made from another state.
            remember(part.state, state)
        }
        // There is no keeping up, or Redis was emptied this moment.
        follower.reset()
        throw .building(what: "the leaderboard \(id.name)")
    }

    /// Brings it up to what the follower has read. Of the last change the outcome is not waited for:
    /// a call that is sent afterwards finds it made, or made by somebody else.
    ///
    /// - Parameter isToLoad: whether to ask for the state if it is not known.
    func bringUp(isToLoad: Bool = false) async throws(MeteringError) {
        // Two at once would make each other's changes, and one of them in vain.
        while isChanging {
            // Tasks of others may be suspended on the way: the change may be over by now.
            await withCheckedContinuation {
                if isChanging { waiting.append($0) } else { $0.resume() }
            }
        }
        isChanging = true
        defer {
            isChanging = false
            let resumed = waiting
            waiting = []
            for continuation in resumed { continuation.resume() }
        }
        if generation != follower.generation {
            known = nil
            generation = follower.generation
        }
        let dataset = follower.dataset
        if isToLoad, known == nil {
            let part = try await reader.window(id, .page(limit: 0, after: nil))
            guard !part.state.isEmpty else { return }
            guard let state = BoardState(part.state) else { throw .damaged(what: "boards") }
            remember(part.state, state)
        }
        while let known {
            guard let chunk = try await chunk(behind: known.state) else { return }
            // A change that was not waited for may have failed meanwhile.
            guard let now = self.known, now.packed == known.packed else { continue }
            try await apply(chunk, of: dataset, to: known)
            if chunk.isLast { return }
        }
    }

    private func remember(_ packed: [UInt8], _ state: BoardState) {
        known = (packed, state)
    }

    // MARK: The log

    private func chunk(behind state: BoardState) async throws(MeteringError) -> Chunk? {
        if let pending = state.pending { return try await rest(of: pending.target, state.ends) }
        var chunk = Chunk(target: state.ends)
        var count = 0
        // As it is now: the clock may jump meanwhile, over days whose ends were not read.
        let days = follower.lastRead
        for day in state.ends.floor...max(days.upperBound, state.ends.floor) {
            while true {
                let number = chunk.target[day]
                let remembered = follower.remembered(day, after: number)
                let entries: ArraySlice<LogItems>
                if let remembered {
                    entries = remembered
                } else {
                    entries = try await follower.read(day, after: number)[...]
                }
                for entry in entries {
                    add(entry, to: &chunk)
                    chunk.target[day] = entry.number
                    count += entry.items.count
                    if count > Self.itemsPerChunk {
                        chunk.isLast = false
                        return chunk
                    }
                }
                if remembered != nil || entries.isEmpty { break }
            }
        }
        // Also where there was nothing: that is what a question is told by.
        chunk.target.raiseFloor(to: days.lowerBound)
        return chunk.target == state.ends ? nil : chunk
    }

    /// What somebody has begun to add.
    private func rest(of target: LogEnds, _ ends: LogEnds) async throws(MeteringError) -> Chunk {
        var chunk = Chunk(target: ends)
        chunk.isLast = false
        for day in ends.floor..<max(ends.floor, target.days.upperBound) {
            while chunk.target[day] < target[day] {
                let entries = try await follower.read(
                    day, after: chunk.target[day], through: target[day])
                // A day before the target's floor was read to its end.
                if entries.isEmpty, target[day] == .max { break }
                guard !entries.isEmpty else { throw .damaged(what: "the log has a gap") }
                for entry in entries {
                    add(entry, to: &chunk)
                    chunk.target[day] = entry.number
                }
            }
        }
        chunk.target = target
        return chunk
    }

    private func add(_ entry: LogItems, to chunk: inout Chunk) {
        for item in entry.items where item.meter == meter && id.covers(item.day) {
            chunk.sums[item.subject, default: 0] += item.amount
        }
    }

    // MARK: Changes

    private func apply(
        _ chunk: Chunk, of dataset: [UInt8], to known: (packed: [UInt8], state: BoardState)
    ) async throws(MeteringError) {
        var subjects = chunk.sums.filter { $0.value != 0 }.map(\.key)
        var done = BoardState(ends: chunk.target, warnings: known.state.warnings)
        done.pending = nil
        let isPatient = subjects.count <= Self.patientCount
        let sliceCount = isPatient ? Self.sliceCounts.patient : Self.sliceCounts.other
        if subjects.count > sliceCount || known.state.pending != nil { subjects.sort() }
        if let after = known.state.pending?.after { subjects.removeAll { $0 <= after } }
        var packed = known.packed
        var start = 0
        repeat {
            let end = min(start + sliceCount, subjects.count)
            var state = done
            if end < subjects.count {
                state = known.state
                state.pending = (chunk.target, subjects[end - 1])
            }
            let next = state.packed(writer)
            let arguments = [
                Array(id.name.utf8), packed, next, items(subjects[start..<end], chunk.sums),
                dataset,
            ]
            self.known = (next, state)
            if end == subjects.count ? !chunk.isLast : isPatient {
                guard try await applyAndWait(arguments) else { return }
            } else {
                applyLater(arguments)
            }
            (packed, start) = (next, end)
        } while start < subjects.count
    }

    private func items(_ subjects: ArraySlice<ByteString>, _ sums: [ByteString: Int]) -> [UInt8] {
        writer.array(2)
        writer.array(subjects.count)
        for subject in subjects { writer.string(subject.bytes) }
        writer.array(subjects.count)
        for subject in subjects { writer.integer(sums[subject] ?? 0) }
        return writer.take()
    }

    private var changedKeys: [[UInt8]] {
        [reader.keys.boards, reader.keys.board(id), reader.keys.meta]
    }

    private func applyLater(_ arguments: [[UInt8]]) {
        client.run(ScriptLibrary.applyBoard, keys: changedKeys, arguments: arguments) { result in
            if case .success(let reply) = result, reply.integer == 1 { return }
            self.known = nil
        }
    }

    /// Whether the board was in the state that the change was made from.
    private func applyAndWait(_ arguments: [[UInt8]]) async throws(MeteringError) -> Bool {
        do {
            let reply = try await client.run(
                ScriptLibrary.applyBoard, keys: changedKeys, arguments: arguments)
            if reply.integer == 1 { return true }
            known = nil
            return false
        } catch {
            known = nil
            throw .unavailable(error)
        }
    }
}
