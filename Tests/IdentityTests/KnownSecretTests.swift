// SPDX-License-Identifier: Apache-2.0

import Cryptography
import Testing

@Suite struct KnownSecretTests {
    @Test func `Only the same bytes are the secret, however long others are`() {
        let secret = Array("a-key-for-tests-only".utf8)
        let known = KnownSecret(secret)
        func isEqual(_ other: [UInt8]) -> Bool { other.withUnsafeBytes { known.isEqual(to: $0) } }
        #expect(isEqual(secret))
        for count in 0..<secret.count { #expect(!isEqual(Array(secret.prefix(count)))) }
        #expect(!isEqual(secret + secret))
        #expect(!isEqual(secret + [0]))
        for place in secret.indices {
            var other = secret
            other[place] ^= 1
            #expect(!isEqual(other))
        }
        // One after the other, by one object.
        #expect(isEqual(secret))
        #expect(KnownSecret([]).isEqual(to: UnsafeRawBufferPointer(start: nil, count: 0)))
    }
}
