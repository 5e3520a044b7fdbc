// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Where the data are that a command works on.
public struct DataPlace: Sendable, Equatable {
    /// The folder of a service's data; nil when only a Redis is named.
    public var folder: String?
    /// The Redis to use; nil means the one of the folder.
    public var redisURL: String?
    /// The folder of the snapshots, where that is not `rollups` of the folder.
    public var snapshots: String?
    /// For how many days a day's detail of `default` is to be in Redis; the settings of other
    /// workspaces tell theirs.
    public var hotDays = 35
    /// For how many days the log of `default` has single events.
    public var eventsDays = 35
    /// The workspace to work on; nil means all that there are.
    public var workspace: String?

    public init() {}

    /// Where the snapshots are, if that was said.
    public var rollups: String? { snapshots ?? folder.map { "\($0)/rollups" } }
}

/// Work on data that no service does.
public enum DataTask: Sendable {
    /// Compare everything with everything.
    case verify(DataPlace)
    /// Rebuild an empty Redis from snapshots; `isForced` empties it first.
    case restore(snapshots: String, DataPlace, isForced: Bool)
}

/// Where such work writes to. May be used from any thread.
public final class DataConsole: Sendable {
    private struct State {
        var parts: [(workspace: String, lineCount: Int)] = []
        var shown = ContinuousClock.now
        var isShowing = false
        var failure: (any Error)?
    }
    private let console: Console
    private let state = Mutex(State())

    init(_ console: Console) { self.console = console }

    /// How many lines were printed of each workspace that was begun.
    var parts: [(workspace: String, lineCount: Int)] { state.withLock { $0.parts } }

    /// What is printed from now on is of this workspace.
    public func begin(_ workspace: String) {
        state.withLock { $0.parts.append((workspace, 0)) }
    }

    /// Prints a line. What may hold any text of users is to be escaped before.
    public func print(_ line: String) {
        clear()
        state.withLock { state in
            if !state.parts.isEmpty { state.parts[state.parts.count - 1].lineCount += 1 }
            guard state.failure == nil else { return }
            do {
                try console.print(line)
            } catch {
                state.failure = error
            }
        }
    }

    /// Says what is amiss and hinders nothing. As of `print`.
    public func warn(_ line: String) {
        clear()
        console.complain("tally: \(line)\n")
    }

    /// Shows on a terminal how far it is, at most ten times a second.
    public func show(_ text: String) {
        guard console.showsProgress else { return }
        let isDue = state.withLock { state in
            guard state.shown.duration(to: .now) > .milliseconds(100) else { return false }
            state.shown = .now
            state.isShowing = true
            return true
        }
        if isDue { console.complain("\r\(text)\u{1b}[K") }
    }

    /// Shows a bar that is full when `done` is `total`.
    public func show(_ text: String, done: Int, of total: Int) {
        let width = 30
        let share = total > 0 ? min(1, max(0, Double(done) / Double(total))) : 1
        let filled = Int(share * Double(width))
        let bar =
            String(repeating: "#", count: filled)
            + String(repeating: "-", count: width - filled)
        show("\(text) [\(bar)] \(Int(share * 100)) %")
    }

    func clear() {
        let isShowing = state.withLock { state in
            defer { state.isShowing = false }
            return state.isShowing
        }
        if isShowing { console.complain("\r\u{1b}[K") }
    }

    /// Throws what went wrong while lines were printed.
    func check() throws {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }
}
