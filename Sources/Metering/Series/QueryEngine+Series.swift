// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Observability
internal import Redis

extension QueryEngine {
    /// The zone in which days and hours are told.
    public nonisolated var calendar: WorkspaceCalendar { settings.calendar }

    /// Sums over time.
    ///
    /// - Parameter countsSubjects: whether to tell how many subjects had an event.
    /// - Throws: `EventRejection` when the range has too many buckets (`range_too_wide`) or a sum is
    ///   past 2^53 − 1; `MeteringError`.
    public func series(_ query: SeriesQuery, countsSubjects: Bool = true) async throws -> Series {
        let client = try client
        let reader = SeriesReader(
            client: client, settings: settings, clock: clock, archive: try archive,
            history: try history(), follower: try usageFollower(),
            rollups: try rollups)
        return try await reader.series(query, countsSubjects: countsSubjects)
    }

    /// Goes along the log for minutes, subjects and activity.
    func usageFollower() throws(MeteringError) -> UsageFollower {
        UsageFollower(
            client: try client, settings: settings, clock: clock, laterLogs: try laterLogs)
    }

    /// Goes along the log every second while events come, so that no question finds it far behind, and
    /// every ten seconds else.
    func followUsage() async {
        var follower: UsageFollower?
        var waits = 0
        var due = 10
        while let client = try? client {
            waits += 1
            if client.isReady, waits >= due {
                waits = 0
                do {
                    let usage = try follower ?? usageFollower()
                    follower = usage
                    let count = usage.changeCount
                    _ = try await usage.catchUp(deadlineMS: clock.monotonicMS + 60_000)
                    due = usage.changeCount > count ? 10 : 100
                } catch {
                    logger.warning("the log was not followed", ["reason": "\(error)"])
                }
            }
            await loop.sleep(for: .milliseconds(100))
        }
    }
}

extension WorkspaceCalendar {
    /// Where a range begins that ends at an instant and has as many buckets as are shown when nothing else
    /// is asked for: 60 minutes, 24 hours, 30 days or 12 months. Milliseconds since 1970.
    public func defaultStart(ofRangeTo end: Int, _ bucket: SeriesQuery.Bucket) -> Int {
        let last = (end - 1).flooredQuotient(1000)
        let day = day(at: last)
        switch bucket {
        case .minute: return (last.flooredQuotient(60) - 59) * 60_000
        case .hour:
            return
                (CachedCalendar(self).place(Timestamp(milliseconds: last * 1000)).hour - 23 * 3600)
                * 1000
        case .day: return start(of: CivilDay(number: day.number - 29)) * 1000
        case .month: return start(of: day.firstOfMonth.adding(months: -11)) * 1000
        }
    }

    /// Where a bucket ends that begins at an instant of a day. Seconds since 1970.
    func end(of bucket: SeriesQuery.Bucket, from start: Int, on day: CivilDay) -> Int {
        let tomorrow = CivilDay(number: day.number + 1)
        return switch bucket {
        case .minute: start + 60
        // A day that clocks skip the end of ends earlier.
        case .hour: min(end(ofHour: start), self.start(of: tomorrow))
        case .day: self.start(of: tomorrow)
        case .month: self.start(of: day.adding(months: 1))
        }
    }

    /// The period before the buckets of a range, as long as they are: as many months for months, as many days
    /// for days, else as much time. Milliseconds since 1970.
    public func previous(_ range: Range<Int>, _ bucket: SeriesQuery.Bucket) -> Range<Int> {
        let first = range.lowerBound.flooredQuotient(1000)
        let last = (range.upperBound - 1).flooredQuotient(1000)
        let days = day(at: first)...day(at: last)
        switch bucket {
        case .month:
            let from = days.lowerBound.firstOfMonth
            let until = days.upperBound.firstOfMonth.adding(months: 1)
            let (end, start) = (until.date, from.date)
            let count = end.year * 12 + end.month - start.year * 12 - start.month
            return self.start(of: from.adding(months: -count)) * 1000..<self.start(of: from) * 1000
        case .day:
            let count = days.upperBound.number - days.lowerBound.number + 1
            let before = CivilDay(number: days.lowerBound.number - count)
            return self.start(of: before) * 1000..<self.start(of: days.lowerBound) * 1000
        case .minute, .hour:
            // Whole ones: what is in the first of the range is not in those before it, too.
            guard let starts = starts(of: bucket, in: range), let from = starts.first?.start,
                let (last, day) = starts.last
            else { return range.lowerBound..<range.lowerBound }
            let until = end(of: bucket, from: last, on: day)
            return (2 * from - until) * 1000..<from * 1000
        }
    }
}
