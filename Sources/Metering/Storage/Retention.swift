// SPDX-License-Identifier: Apache-2.0

/// How far back days are looked for that subjects may still be on.
enum Retention {
    static let days = 400
}
