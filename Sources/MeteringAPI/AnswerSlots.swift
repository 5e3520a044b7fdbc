// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import Metering
internal import Synchronization

/// How many answers of a kind may be made or sent at the same time, by all loops of a process, where each keeps
/// something in memory and asks Redis again and again. One workspace does not take what others need, nor one end
/// user what others of its workspace do.
final class AnswerSlots: Sendable {
    private struct User: Hashable {
        let workspace: WorkspaceID
        let subject: SubjectID
    }

    private struct Used {
        var count = 0
        var ofWorkspaces: [WorkspaceID: Int] = [:]
        var ofUsers: [User: Int] = [:]
    }

    /// What they are, in the plural.
    let kind: String
    private let countMax: Int
    private let workspaceMax: Int
    private let userMax: Int
    private let used = Mutex(Used())

    /// - Parameters:
    ///   - workspaceMax: for one workspace, where there are others.
    ///   - userMax: for one end user.
    init(_ kind: String, _ countMax: Int, workspaceMax: Int, userMax: Int) {
        self.kind = kind
        (self.countMax, self.workspaceMax, self.userMax) = (countMax, workspaceMax, userMax)
    }

    /// Why there is no slot.
    struct Full: Error {
        let countMax: Int
        /// Of whom so many are taken; empty for all together.
        let owner: String
    }

    /// The right to one; it is given back when nobody holds it any more.
    final class Slot: Sendable {
        private let slots: AnswerSlots
        private let workspace: WorkspaceID
        private let subject: SubjectID?

        fileprivate init(_ slots: AnswerSlots, _ principal: Principal) {
            (self.slots, workspace, subject) = (slots, principal.workspace, principal.subject)
        }

        deinit { slots.count(-1, workspace, subject) }
    }

    /// A slot for who asks.
    ///
    /// - Parameter isShared: whether there are other workspaces.
    func take(for principal: Principal, isShared: Bool) throws(Full) -> Slot {
        let user = principal.subject.map { User(workspace: principal.workspace, subject: $0) }
        let full: Full? = used.withLock { used in
            if used.count >= countMax { return Full(countMax: countMax, owner: "") }
            if isShared, used.ofWorkspaces[principal.workspace, default: 0] >= workspaceMax {
                return Full(countMax: workspaceMax, owner: " of this workspace")
            }
            if let user, used.ofUsers[user, default: 0] >= userMax {
                return Full(countMax: userMax, owner: " of this user")
            }
            Self.count(1, principal.workspace, principal.subject, &used)
            return nil
        }
        if let full { throw full }
        return Slot(self, principal)
    }

    private func count(_ change: Int, _ workspace: WorkspaceID, _ subject: SubjectID?) {
        used.withLock { Self.count(change, workspace, subject, &$0) }
    }

    private static func count(
        _ change: Int, _ workspace: WorkspaceID, _ subject: SubjectID?, _ used: inout Used
    ) {
        used.count += change
        let ofWorkspace = used.ofWorkspaces[workspace, default: 0] + change
        used.ofWorkspaces[workspace] = ofWorkspace > 0 ? ofWorkspace : nil
        guard let user = subject.map({ User(workspace: workspace, subject: $0) }) else { return }
        let ofUser = used.ofUsers[user, default: 0] + change
        used.ofUsers[user] = ofUser > 0 ? ofUser : nil
    }
}

extension API {
    /// How long a question waits for others to be answered; in microseconds.
    private static let patience = 5_000_000

    /// A slot for an answer of a kind, asked for before any work is done for it.
    func slot(
        of slots: AnswerSlots, for call: Call
    ) throws(HTTPProblem) -> AnswerSlots.Slot {
        do throws(AnswerSlots.Full) {
            return try slots.take(
                for: call.principal, isShared: store.directory.workspaceCount > 1)
        } catch {
            throw HTTPProblem(
                .serviceUnavailable, code: "too_many_\(slots.kind)",
                detail: "there are \(error.countMax) \(slots.kind)\(error.owner) already; ask again"
            )
        }
    }

    /// A slot for a question that takes long: a page asks several at once, and each is soon answered.
    func questionSlot(for call: Call) async throws -> AnswerSlots.Slot {
        let start = monotonicMicroseconds()
        while true {
            do {
                return try slot(of: environment.questions, for: call)
            } catch {
                guard monotonicMicroseconds() - start < Self.patience else { throw error }
            }
            await engine.pause(for: .milliseconds(20))
        }
    }
}
