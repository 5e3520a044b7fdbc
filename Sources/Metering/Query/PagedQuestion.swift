// SPDX-License-Identifier: Apache-2.0

internal import Cryptography

/// A question that is answered in pages, and the workspace that it is about. Cursors are tied to both: with
/// another question they would leave out what is asked for, without a word.
public struct PagedQuestion: Sendable {
    /// The same bytes for the same question about a workspace.
    private let fingerprint: [UInt8]
    private static let digestCount = 16

    /// - Parameters:
    ///   - name: of what is asked for.
    ///   - parts: all that narrows it or puts it in order, but for how long a page is.
    public init(_ name: String, _ parts: [String?], about workspace: WorkspaceSettings) {
        let writer = MessagePackWriter()
        // Another workspace that had its id has the same places.
        for part in [workspace.id.text, workspace.birth, name] + parts {
            if let part { writer.string(part) } else { writer.null() }
        }
        fingerprint = writer.take()
    }

    /// The cursor that goes on at a place.
    public func cursor(_ place: String) -> String { "\(place).\(digest(place.utf8))" }

    /// The place of a cursor that `cursor` made for the same question; nil for anything else.
    public func place(of cursor: String) -> String? {
        guard cursor.utf8.count <= 1024, let dot = cursor.utf8.lastIndex(of: UInt8(ascii: ".")),
            cursor[cursor.utf8.index(after: dot)...] == digest(cursor[..<dot].utf8)
        else { return nil }
        return String(cursor[..<dot])
    }

    private func digest(_ place: some Sequence<UInt8>) -> String {
        let digest = StreamingDigest()
        Array(place).withUnsafeBytes { digest.update($0) }
        fingerprint.withUnsafeBytes { digest.update($0) }
        return String(decoding: digest.hexadecimal().prefix(Self.digestCount), as: UTF8.self)
    }
}
