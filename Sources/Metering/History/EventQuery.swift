// SPDX-License-Identifier: Apache-2.0

/// Which of the events that were counted are asked for; what is nil asks for nothing.
public struct EventQuery: Sendable {
    /// In which order they come.
    public enum Order: String, Sendable, CaseIterable {
        /// The last counted first, whatever their own times are.
        case newest
        /// Most credits first; the last counted first where they are equal.
        case credits
    }

    public var subject: SubjectID?
    public var action: ByteString?
    /// Empty for events that named no model.
    public var model: ByteString?
    /// Micro-credits. An event that took none has 0, a reversal less.
    public var minCredits: Int?
    /// The first instant of the range.
    public var from: Timestamp?
    /// The first instant behind the range.
    public var until: Timestamp?
    public var order = Order.newest
    /// Whose events are left out. No part of what a cursor is tied to: it may change between pages.
    var hidden: Set<ByteString> = []

    public init() {}

    /// Whether an event is asked for, if that of a subject is.
    func matches(_ logged: LogEntry.Logged, of name: ByteString) -> Bool {
        if logged.isMove || !hidden.isEmpty && hidden.contains(name) { return false }
        if let action, action != logged.event.action { return false }
        if let model, model != logged.event.model { return false }
        if let minCredits, logged.credits < minCredits { return false }
        if let from, logged.time < from { return false }
        if let until, logged.time >= until { return false }
        return true
    }

    /// What its cursors are tied to.
    func paged(_ workspace: WorkspaceSettings) -> PagedQuestion {
        let numbers = [minCredits, from?.milliseconds, until?.milliseconds]
        return PagedQuestion(
            "events",
            [order.rawValue, subject?.id.text, action?.text, model?.text]
                + numbers.map { $0.map(String.init) },
            about: workspace)
    }
}

extension LogEntry.Logged {
    /// Micro-credits that the event took; below 0 for a reversal.
    var credits: Int { event.amounts.amount(of: .creditsMicro) ?? 0 }
}

/// Where an answer goes on. Clients keep it and read nothing from it.
struct EventCursor: Equatable {
    /// The entry of the last event that was told, and its place in it. A place behind the last
    /// one that an entry can have stands for a whole entry that is still to be read.
    var position: LogPosition
    var place: Int
    /// For the order by credits: those of the last event, and the last entry that counts, so that
    /// pages fit together while events come.
    var ranking: Ranking?

    struct Ranking: Equatable {
        var credits: Int
        var ceiling: LogPosition
    }

    static let wholeEntry = EventBatch.eventCountMax + 1

    init(_ position: LogPosition, place: Int = Self.wholeEntry, ranking: Ranking? = nil) {
        self.position = position
        self.place = place
        self.ranking = ranking
    }

    /// Reads what `text(for:)` made for the same question; nil for anything else.
    init?(_ text: String, for query: EventQuery, in workspace: WorkspaceSettings) {
        guard let told = query.paged(workspace).place(of: text) else { return nil }
        let numbers = told.split(separator: ".", omittingEmptySubsequences: false)
            .compactMap { Int($0) }
        guard numbers.count == (query.order == .credits ? 4 : 2),
            (0...EventBatch.exactIntegerMax).contains(numbers[0]),
            (1...Self.wholeEntry).contains(numbers[1])
        else { return nil }
        position = LogPosition(numbers[0])
        place = numbers[1]
        if query.order == .credits {
            guard (0...EventBatch.exactIntegerMax).contains(numbers[3]) else { return nil }
            ranking = Ranking(credits: numbers[2], ceiling: LogPosition(numbers[3]))
        }
    }

    func text(for query: EventQuery, in workspace: WorkspaceSettings) -> String {
        var numbers = [position.packed, place]
        if let ranking { numbers += [ranking.credits, ranking.ceiling.packed] }
        return query.paged(workspace).cursor(numbers.map(String.init).joined(separator: "."))
    }
}

/// An event as the history shows it.
public struct HistoryEvent: Sendable {
    public internal(set) var recorded: RecordedEvent
    /// Whether it undoes another; its amounts are below zero then.
    public let isReversal: Bool
    /// The id of the event that a reversal undid; nil when it is not in the log any more.
    public internal(set) var reverses: ByteString?
    /// Whether it was undone; looked up for pages, not for exports.
    public internal(set) var isReversed = false
    let position: LogPosition
    let place: Int

    init(_ entry: LogEntry, _ logged: LogEntry.Logged) {
        recorded = RecordedEvent(entry, logged)
        isReversal = logged.event.isReversal
        position = entry.position
        place = logged.place
    }

    /// Micro-credits; nil when the event took none.
    public var credits: Int? { recorded.amounts.amount(of: .creditsMicro) }
    /// Millionths of the workspace's currency; nil when the event cost nothing.
    public var cost: Int? { recorded.amounts.amount(of: .costMicro) }
}

/// A part of the history.
public struct EventPage: Sendable {
    public let events: [HistoryEvent]
    /// Where there may be more; nil at the end.
    public let next: String?
}
