// SPDX-License-Identifier: Apache-2.0

/// How long what is dated stays in Redis.
enum Retention {
    /// Days whose rollups, boards and subjects' sums are kept.
    static let days = 400
    static let daySeconds = days * 86_400
}
