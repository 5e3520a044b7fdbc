// SPDX-License-Identifier: Apache-2.0
//
// An event for a day that has left Redis waits until the day is back, which may take seconds for a
// day of a million subjects. Its batch was not counted, so it goes in a later one; all other events
// go on at once.

internal import EventLoop
internal import Synchronization

/// Brings a day back into Redis; nil, or why not.
public typealias DayThawing = @Sendable (CivilDay) async -> String?

/// The events of one loop that wait for their days. On the loop's thread only.
final class ColdEvents {
    static let reason = "a day is being brought back from its file; send it again"
    private static let pollMS = 2

    /// What has come of the days, told by tasks on other threads.
    private final class Results: Sendable {
        let finished = Mutex<[(day: CivilDay, problem: String?)]>([])
    }

    /// Called with events whose day is back.
    var whenBack: (([Pending]) -> Void)?
    private(set) var count = 0
    private let clock: any Clock
    private let thaw: DayThawing?
    private let results = Results()
    /// By day; a day without events is on its way for those that ask again.
    private var held: [CivilDay: [Pending]] = [:]
    private var timer: LoopTimer?

    init(on loop: EventLoop, clock: any Clock, thaw: DayThawing?) {
        self.clock = clock
        self.thaw = thaw
        timer = LoopTimer(on: loop, isRepeating: true) { [weak self] in self?.poll() }
    }

    /// Keeps the events of these days, and has the days brought back.
    ///
    /// - Returns: the other items.
    func hold(_ items: [Pending], for days: [CivilDay]) -> [Pending] {
        bringBack(days)
        var others: [Pending] = []
        for item in items {
            guard case .event(let pending) = item, days.contains(pending.day) else {
                others.append(item)
                continue
            }
            if held[pending.day] == nil {
                item.postpone("its day has left Redis")
            } else {
                held[pending.day]?.append(item)
                count += 1
            }
        }
        return others
    }

    /// Has days brought back, unless they are on their way.
    func bringBack(_ days: [CivilDay]) {
        guard let thaw else { return }
        for day in days where held[day] == nil {
            if held.isEmpty { timer?.start(after: .milliseconds(Self.pollMS)) }
            held[day] = []
            // It tells by `results` how it ended; nothing else waits for it.
            Task { [results] in
                let problem = await thaw(day)
                results.finished.withLock { $0.append((day, problem)) }
            }
        }
    }

    private func poll() {
        let finished = results.finished.withLock { finished in
            defer { finished = [] }
            return finished
        }
        for (day, problem) in finished {
            let items = held.removeValue(forKey: day) ?? []
            count -= items.count
            if let problem {
                for item in items { item.postpone(problem) }
            } else if !items.isEmpty {
                whenBack?(items)
            }
        }
        expire()
        if held.isEmpty { timer?.stop() }
    }

    /// Tells the callers who have waited too long. Their days are brought back all the same.
    private func expire() {
        guard count > 0 else { return }
        let now = clock.monotonicMS
        for (day, items) in held {
            guard items.contains(where: { $0.deadlineMS <= now }) else { continue }
            held[day] = items.filter { $0.deadlineMS > now }
            let late = items.filter { $0.deadlineMS <= now }
            count -= late.count
            for item in late { item.postpone(Self.reason) }
        }
    }
}
