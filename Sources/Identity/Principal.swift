// SPDX-License-Identifier: Apache-2.0

public import Metering

/// What a caller may do, from the most to the least.
public enum Role: String, Sendable, CaseIterable {
    /// The whole service: workspaces, and everything in each of them.
    case `operator`
    /// Everything in its workspace.
    case admin
    /// A back end: records and checks for any subject, and reads.
    case writer
    /// Reads all of its workspace.
    case reader
    /// An end user: what is its own.
    case oneself = "self"
    /// Somebody without a key, who only has an id.
    case guest
}

/// Who makes a request, as its key or token has proved.
public struct Principal: Sendable, Hashable {
    public let role: Role
    public let workspace: WorkspaceID
    /// The `WorkspaceSettings.birth` of its workspace: the next one of that id is not the caller's.
    public let birth: String
    /// Who an end user or a guest is; nil for others.
    public let subject: SubjectID?
    /// The id of its key, or how else it is known, for the audit log.
    public let name: String

    public init(
        role: Role, workspace: WorkspaceID, birth: String = "", subject: SubjectID? = nil,
        name: String
    ) {
        self.role = role
        self.workspace = workspace
        self.birth = birth
        self.subject = subject
        self.name = name
    }
}
