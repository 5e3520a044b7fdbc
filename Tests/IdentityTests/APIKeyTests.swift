// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@testable import Identity
@testable import Metering

@Suite struct APIKeyTests {
    /// `..` was an id once.
    @Test func `A key of a dot segment is read as it is stored`() throws {
        let old = SubjectID(stored: ByteString(".."))
        let (key, _) = APIKey.make(
            name: "n", role: .oneself, workspace: .default, birth: "", subject: old,
            now: Timestamp(milliseconds: 0), expiresAt: nil)
        let read = APIKey(id: key.id, record: key.record, try JSONReader())
        #expect(read?.subject == old)
    }
}
