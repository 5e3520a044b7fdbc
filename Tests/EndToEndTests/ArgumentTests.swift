// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

extension EndToEnd {
    /// Put right, two of them would be one subject.
    @Test func `An argument that is not UTF-8 is refused and named`() async throws {
        try await blocking {
            func run(_ words: String) throws -> (status: Int32, output: String, errors: String) {
                try TallyProcess.run([words], launcher: ["/bin/sh", "-c", #"eval "$0 $1""#])
            }
            let subject = try run(#"record "$(printf 'u\377')" tokens=1"#)
            #expect(subject.status == 2, "\(subject)")
            #expect(subject.errors == "tally: argument 2, \"u\u{fffd}\", is not UTF-8\n")
            // What may be a secret is not repeated.
            let key = try run(#"top tokens --key "$(printf 'secret\377')""#)
            #expect(key.status == 2 && key.errors == "tally: argument 4 is not UTF-8\n", "\(key)")
        }
    }
}
