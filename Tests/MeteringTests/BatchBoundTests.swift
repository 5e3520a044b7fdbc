// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Metering

struct BatchBoundTests {
    /// The bound behind so many batches that were full, each event of which took so long.
    private static func bound(
        _ microseconds: Int, batches: Int = 20, from bound: BatchBound = BatchBound(heldMS: 4)
    ) -> BatchBound {
        var bound = bound
        for _ in 0..<batches {
            let count = bound.count
            bound.learn(count: count, microseconds: count * microseconds)
        }
        return bound
    }

    @Test func `A batch is as large as is done in four milliseconds`() {
        #expect(BatchBound(heldMS: 4).count == 128)
        #expect((78...82).contains(Self.bound(50).count))
        #expect((195...205).contains(Self.bound(20).count))
    }

    @Test func `A batch has at least 16 events and at most 512`() {
        #expect(Self.bound(3).count == 512)
        #expect(Self.bound(100_000).count == 16)
        #expect(Self.bound(3, batches: 60, from: Self.bound(100_000)).count == 512)
    }

    @Test func `Silence halves what comes next, and is soon forgotten`() {
        var bound = Self.bound(3)
        for expected in [512, 325, 163, 82, 41, 21, 16, 16] {
            bound.learnOfSilence()
            #expect(bound.count <= expected)
        }
        #expect(bound.count == 16)
        #expect(Self.bound(3, batches: 20, from: bound).count == 512)
    }

    @Test func `One batch that was held up changes little, and a small one nothing`() {
        var bound = Self.bound(10)
        let before = bound.count
        bound.learn(count: before, microseconds: 250_000)
        #expect(bound.count > before / 2)
        let later = bound
        bound.learn(count: 15, microseconds: 100_000)
        bound.learn(count: 100, microseconds: 0)
        bound.learn(count: 100, microseconds: -5)
        #expect(bound.count == later.count)
    }
}
