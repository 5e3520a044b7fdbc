// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Redis

/// Some holds of a state.
public struct HoldPage: Sendable {
    public let holds: [Hold]
    /// Where the next ones begin; nil when there are no more. A page may have few holds, or none,
    /// and a next one all the same: reading ends after a while, wherever it is.
    public let next: HoldCursor?
}

/// A place in a list of holds: behind one of them, also when it has gone since.
public struct HoldCursor: Sendable, Equatable {
    let state: HoldState
    /// By which the list is in order: when the hold expires, or was ended. Milliseconds since 1970.
    let time: Int
    let id: [UInt8]

    init(_ state: HoldState, time: Int, id: [UInt8]) {
        self.state = state
        self.time = time
        self.id = id
    }

    /// Reads what `text` wrote for a list of holds of this state; nil for anything else.
    public init?(_ text: String, of state: HoldState) {
        guard text.utf8.count <= 512 else { return nil }
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.utf8.count % 4 != 0 { plain += "=" }
        guard let data = Data(base64Encoded: plain) else { return nil }
        let parts = data.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].elementsEqual("\(state.rawValue)".utf8),
            parts[1].count <= 15, parts[1].allSatisfy({ (0x30...0x39).contains($0) }),
            let time = Int(String(decoding: parts[1], as: UTF8.self))
        else { return nil }
        self.init(state, time: time, id: Array(parts[2]))
        // What is written in another way was not written here.
        guard self.text == text else { return nil }
    }

    /// As clients see it.
    public var text: String {
        let bytes = Array("\(state.rawValue)\0\(time)\0".utf8) + id
        return Data(bytes).base64EncodedString().replacing("+", with: "-")
            .replacing("/", with: "_").replacing("=", with: "")
    }
}

/// Lists holds. On its loop's thread only.
final class HoldReader {
    /// Holds per script call: less than a millisecond of Redis.
    private static let sliceCount = 200
    /// A bound on the work of one page: looking for one subject goes through the holds of all.
    private static let sliceCountMax = 20

    private let client: RedisClient
    private let keys: Keyspace
    private let clock: any Clock

    init(client: RedisClient, keys: Keyspace, clock: any Clock) {
        self.client = client
        self.keys = keys
        self.clock = clock
    }

    /// Holds of a state, of one subject if it is named: open ones by when they expire, others by
    /// when they ended, the last first, equal times by id. At most `limit`.
    func page(
        _ state: HoldState, of subject: SubjectID?, limit: Int, after cursor: HoldCursor?
    ) async throws(MeteringError) -> HoldPage {
        let now = clock.now
        var holds: [Hold] = []
        var place = cursor
        for _ in 0..<Self.sliceCountMax {
            let slice = try await slice(state, after: place, at: now)
            for (cursor, hold) in slice {
                place = cursor
                guard let hold, hold.state == state, subject == nil || hold.subject == subject
                else { continue }
                holds.append(hold)
                if holds.count == limit { return HoldPage(holds: holds, next: place) }
            }
            if slice.count < Self.sliceCount { return HoldPage(holds: holds, next: nil) }
        }
        return HoldPage(holds: holds, next: place)
    }

    private func slice(
        _ state: HoldState, after place: HoldCursor?, at now: Timestamp
    ) async throws(MeteringError) -> [(HoldCursor, hold: Hold?)] {
        let until = "\(now.milliseconds)"
        let (key, high, low): ([UInt8], String, String) =
            switch state {
            case .open: (keys.openHolds, "+inf", "(" + until)
            case .expired: (keys.openHolds, until, "-inf")
            case .settled, .released: (keys.endedHolds, "+inf", "-inf")
            }
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.listHolds, keys: [keys.holds, key],
                arguments: [
                    Array(high.utf8), Array(low.utf8),
                    Array((place.map { "\($0.time)" } ?? "").utf8),
                    place?.id ?? [], Array("\(Self.sliceCount)".utf8),
                ])
        } catch {
            throw .unavailable(error)
        }
        guard let parts = reply.elements, parts.count == 2, let listed = parts[0].elements,
            let values = parts[1].elements, listed.count == 2 * values.count
        else { throw .damaged(what: "the list of holds") }
        let places = try values.indices.map { index throws(MeteringError) in
            guard let id = listed[2 * index].bytes,
                let time = listed[2 * index + 1].bytes.flatMap({
                    Int(String(decoding: $0, as: UTF8.self))
                })
            else { throw .damaged(what: "the list of holds") }
            return HoldCursor(state, time: time, id: id)
        }
        let holds = zip(places, values).map { place, value in
            value.bytes.flatMap { Hold(place.id, $0, at: now) }
        }
        return Array(zip(places, try await named(holds)))
    }

    /// The holds, with users in the place of guests that were merged into them: those that had ended by then
    /// are kept under the guest's name.
    func named(_ holds: [Hold?]) async throws(MeteringError) -> [Hold?] {
        let guests = holds.indices.filter { holds[$0]?.subject.kind == .guest }
        guard !guests.isEmpty else { return holds }
        let reply: RedisValue
        do {
            let names = guests.compactMap { holds[$0]?.subject.id.bytes }
            reply = try await client.send(RedisCommand("HMGET", [keys.merged] + names))
        } catch {
            throw .unavailable(error)
        }
        var holds = holds
        for (index, value) in zip(guests, reply.elements ?? []) {
            guard let user = value.bytes else { continue }
            holds[index]?.subject = SubjectID(stored: ByteString(bytes: user))
        }
        return holds
    }
}
