// SPDX-License-Identifier: Apache-2.0

internal import Observability
internal import Redis

/// What a question about days came to.
public struct DayReading: Sendable {
    /// In the order of hour, action and model.
    public let cells: [HourlyUsage]
    /// The days that could not be read, and why; empty when the answer is whole.
    public let warnings: [String]
}

extension QueryEngine {
    /// Sums of a day by hour, action and model, from Redis or from the day's file. O(cells).
    ///
    /// - Throws: `MeteringError`. A file that cannot be read is told in `warnings`, and nothing of
    ///   the day with it.
    public func hourlyUsage(_ day: CivilDay) async throws(MeteringError) -> DayReading {
        let archive = try archive
        // A day that comes back while its file is read is read again where it is then.
        for _ in 0..<3 {
            if let cells = try await hotCells(of: day) {
                return DayReading(cells: cells, warnings: [])
            }
            guard try await archive.revision(ofCold: day) != nil else { continue }
            do throws(ArchiveError) {
                let head = try await archive.head(day)
                return DayReading(cells: head.cells.compactMap { HourlyUsage($0) }, warnings: [])
            } catch {
                return DayReading(cells: [], warnings: ["\(error)"])
            }
        }
        throw .postponed(reason: "the day comes and goes")
    }

    /// The cells that Redis has of a day; nil when the day has left.
    private func hotCells(of day: CivilDay) async throws(MeteringError) -> [HourlyUsage]? {
        var cells: [RollupField: HourlyUsage] = [:]
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await run(
                ScriptLibrary.readDay, keys: [keys.cold, keys.hours(day)],
                arguments: [Array("\(day.number)".utf8), cursor, Array("200".utf8)])
            guard let parts = reply.elements, parts.count == 3, let revision = parts[0].bytes,
                let next = parts[1].bytes, let pairs = parts[2].elements
            else { throw .unavailable(.unexpectedReply("read_day")) }
            guard revision.isEmpty else { return nil }
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                guard let field = pairs[index].bytes.flatMap({ RollupField($0, isHourly: true) }),
                    let sums = pairs[index + 1].bytes.flatMap({ MessagePackValue($0) })?.array,
                    let cell = HourlyUsage(field, sums)
                else { throw .damaged(what: "an hourly rollup") }
                // All of it may have been undone.
                if cell.eventCount != 0 || !cell.sums.isEmpty { cells[field] = cell }
            }
            cursor = next
        } while cursor != Array("0".utf8)
        return cells.sorted { $0.key < $1.key }.map(\.value)
    }

    /// Brings a day back into Redis that has left it; returns at once when it is there. Those who
    /// ask for the same day wait for the same work.
    ///
    /// - Returns: nil, or why the day is not back.
    public func thaw(_ day: CivilDay) async -> String? {
        if let task = thaws[day] { return await task.value }
        let task = Task { await thawAlone(day) }
        thaws[day] = task
        defer { thaws[day] = nil }
        return await task.value
    }

    private func thawAlone(_ day: CivilDay) async -> String? {
        do {
            let began = clock.monotonicMS
            try await DayThaw(day, archive, client, settings).run()
            metrics.counter(
                "tally_days_thawed_total",
                help: "Days brought back into Redis for events that came late."
            ).add()
            logger.notice(
                "a day is back in Redis",
                ["day": "\(day)", "milliseconds": "\(clock.monotonicMS - began)"])
            return nil
        } catch let error as ArchiveError {
            logger.error("a day cannot come back", ["reason": "\(error)"])
            return "nothing can be counted on \(day) until its file is whole again (\(error))"
        } catch {
            return "\(day) could not be brought back from its file: \(error)"
        }
    }
}
