// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Why a day cannot be read from its file. Whoever answers with what is left says so in the answer.
enum ArchiveError: Error, Equatable {
    /// The file is not what was written, is of other data, or cannot be read.
    case damaged(file: String, reason: String)
    /// There is no file.
    case missing(file: String)

    static func system(_ call: String, _ file: String) -> ArchiveError {
        .damaged(file: file, reason: "\(call): \(String(cString: strerror(errno)))")
    }

    /// The file's name, as administrators find it: from `rollups` on.
    var file: String {
        switch self {
        case .damaged(let file, _), .missing(let file): file
        }
    }
}

extension ArchiveError: CustomStringConvertible {
    var description: String {
        switch self {
        case .damaged(let file, let reason): "\(file) is damaged: \(reason)"
        case .missing(let file): "\(file) is missing"
        }
    }
}
