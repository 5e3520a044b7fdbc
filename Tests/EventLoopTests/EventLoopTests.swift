// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Testing

private actor Pinned {
    let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    init(_ loop: EventLoop) { self.loop = loop }
    func isOnLoop() async -> Bool {
        await loop.sleep(for: .milliseconds(5))
        return loop.isCurrent
    }
}

@Suite struct EventLoopTests {
    @Test func `An actor on a loop runs on its thread, also after it slept`() async throws {
        let loop = try EventLoop()
        loop.start()
        #expect(await Pinned(loop).isOnLoop())
        loop.stop()
    }
}
