// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import Synchronization
import Testing

/// Tells when it goes.
private final class Ending: Sendable {
    private let tell: @Sendable () -> Void
    init(_ tell: @escaping @Sendable () -> Void) { self.tell = tell }
    deinit { tell() }
}

@Suite(.timeLimit(.minutes(5))) struct EndingTests {
    @Test func `A loop is there until the last timer and watch on it has ended`() throws {
        var loop: EventLoop? = try EventLoop()
        weak let seen = loop
        let (timer, watch) = (
            LoopTimer(on: try #require(loop)) {},
            DescriptorWatch(0, for: .writable, on: try #require(loop)) { _ in }
        )
        loop = nil
        try #require(seen != nil)
        timer.cancel()
        try #require(seen != nil)
        watch.cancel()
        #expect(seen == nil)
    }

    @Test func `What another thread lets go of ends on the thread of its loop`() async throws {
        let loop = try EventLoop()
        loop.start()
        defer { loop.stop() }
        for _ in 0..<100 {
            let wasOnLoop = await withCheckedContinuation { continuation in
                loop.execute {
                    let ending = Ending { continuation.resume(returning: loop.isCurrent) }
                    let timer = LoopTimer(on: loop, isRepeating: true) { _ = ending }
                    timer.start(after: .zero)
                    let place = UInt(bitPattern: Unmanaged.passRetained(timer).toOpaque())
                    Task.detached { Self.release(place) }
                }
            }
            #expect(wasOnLoop)
        }
    }

    private static func release(_ place: UInt) {
        guard let timer = UnsafeRawPointer(bitPattern: place) else { return }
        Unmanaged<LoopTimer>.fromOpaque(timer).release()
    }

    /// Otherwise its number could be another descriptor's before the loop has taken it out.
    @Test func `A descriptor is closed when its loop watches it no more`() async throws {
        let loop = try EventLoop()
        loop.start()
        defer { loop.stop() }
        var pair: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let (watched, peer) = (pair[0], pair[1])
        defer { close(peer) }
        let place = await withCheckedContinuation { continuation in
            loop.execute {
                let watch = DescriptorWatch(watched, for: .readable, on: loop) { _ in }
                continuation.resume(
                    returning: UInt(bitPattern: Unmanaged.passRetained(watch).toOpaque()))
            }
        }
        let isBusy = Mutex(true)
        loop.execute { while isBusy.withLock({ $0 }) { usleep(1_000) } }
        if let watch = UnsafeRawPointer(bitPattern: place) {
            Unmanaged<DescriptorWatch>.fromOpaque(watch).release()
        }
        loop.close(watched)
        var byte: UInt8 = 0
        #expect(recv(peer, &byte, 1, Int32(MSG_DONTWAIT)) == -1 && errno == EAGAIN)
        isBusy.withLock { $0 = false }
        #expect(recv(peer, &byte, 1, 0) == 0)
    }

    @Test func `A loop that has ended keeps nothing of what it is given`() async throws {
        weak var seen: EventLoop?
        do {
            let loop = try EventLoop()
            seen = loop
            loop.execute { loop.deferToTurnEnd { _ = loop.isCurrent } }
            loop.stop()
            loop.run()
            loop.execute { _ = loop.isCurrent }
        }
        #expect(seen == nil)
    }
}
