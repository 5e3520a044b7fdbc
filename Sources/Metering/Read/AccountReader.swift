// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Redis

/// An event that was counted, as the log has it.
public struct LoggedEvent: Sendable {
    /// With its time.
    public let event: UsageEvent
    let origin: LogPosition
    let place: Int
    /// Of the rules that it was counted by.
    let rulesNumber: Int
    /// The time of the windows that it was counted in.
    let windowTime: Timestamp
    /// When its credits were taken, which for a late event is later than its own time; nil if it took none.
    let charged: Timestamp?
    /// How many erasures had gone through the log before it was looked for.
    var erasures = 0
}

/// Reads single holds and events of one workspace. On its loop's thread only.
public final class AccountReader {
    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let digest = IDDigest()

    init(client: RedisClient, settings: WorkspaceSettings, clock: any Clock) {
        self.client = client
        self.settings = settings
        self.clock = clock
        keys = Keyspace(settings)
    }

    // MARK: Holds

    /// A hold by its id; nil when there is none.
    public func hold(_ id: ByteString) async throws(MeteringError) -> Hold? {
        guard let bytes = try await send(RedisCommand("HGET", [keys.holds, id.bytes])).bytes else {
            return nil
        }
        guard let hold = Hold(id.bytes, bytes, at: clock.now) else {
            throw .damaged(what: "a hold")
        }
        return try await HoldReader(client: client, keys: keys, clock: clock).named([hold])[0]
    }

    /// How many holds are open, and how many expired without being ended.
    public func holdCounts() async throws(MeteringError) -> (open: Int, expired: Int) {
        let now = Array("\(clock.now.milliseconds)".utf8)
        let open = try await send(
            RedisCommand("ZCOUNT", [keys.openHolds, Array("(".utf8) + now, Array("+inf".utf8)]))
        let expired = try await send(
            RedisCommand("ZCOUNT", [keys.openHolds, Array("-inf".utf8), now]))
        return (open.integer ?? 0, expired.integer ?? 0)
    }

    // MARK: Events

    /// Finds an event that was counted, by the client's id or Tally's; nil when it is not known,
    /// or not any more.
    public func event(_ id: ByteString) async throws(MeteringError) -> LoggedEvent? {
        guard let (position, place) = try await place(of: id) else { return nil }
        let reply = try await send(.readLogEntry(keys.log(arrival: position.day), position))
        guard let entry = reply.elements?.first.flatMap({ LogEntry($0, arrival: position.day) }),
            entry.events.indices.contains(place - 1), !entry.excluded.contains(place),
            !entry.events[place - 1].isMove
        else { return nil }
        let logged = entry.events[place - 1]
        var event = logged.event
        event.time = logged.time
        let name = event.id ?? position.eventID(place: place)
        let charge = entry.lines(of: event.subject)?.lines.first {
            $0.kind == .charge && $0.reference == name
        }
        return LoggedEvent(
            event: event, origin: position, place: place, rulesNumber: entry.rulesNumber,
            windowTime: logged.isEnforced ? logged.arrived : min(logged.time, logged.arrived),
            charged: charge?.time)
    }

    private func place(
        of id: ByteString
    ) async throws(MeteringError) -> (position: LogPosition, place: Int)? {
        if let known = LogPosition.parse(id) { return known }
        let digest = digest.digest(id.bytes)
        let now = clock.now.milliseconds
        let last = now.flooredQuotient(86_400_000) + 1
        let first = (now - settings.idempotencyWindowMS).flooredQuotient(86_400_000) - 1
        // All at once: the id may have come on any of the days that are remembered.
        let replies = try await send(
            (first...last).reversed().map {
                RedisCommand("HGET", [keys.ids(generation: $0), digest])
            })
        for reply in replies {
            if let pointer = reply.bytes, pointer.count == 9 {
                return (LogPosition(pointer), Int(pointer[7]) << 8 | Int(pointer[8]))
            }
        }
        return nil
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }

    /// Sends commands together; the replies come in their order.
    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        var replies: [Result<RedisValue, RedisError>?] = Array(
            repeating: nil, count: commands.count)
        var missing = commands.count
        guard missing > 0 else { return [] }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for (index, command) in commands.enumerated() {
                client.send(command) { result in
                    replies[index] = result
                    missing -= 1
                    if missing == 0 { continuation.resume() }
                }
            }
        }
        do throws(RedisError) {
            var values: [RedisValue] = []
            for reply in replies { values.append(try reply?.get() ?? .null) }
            return values
        } catch {
            throw .unavailable(error)
        }
    }
}
