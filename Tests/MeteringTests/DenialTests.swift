// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Denials from memory: that Redis is not asked shows when there is none to ask.
@Suite(.timeLimit(.minutes(15))) struct DenialTests {
    private static let limit = "files_per_day"

    private static func upload(_ count: Int, by subject: String = "a") -> Decision {
        Decision(.consume, subject: subjectID(subject), amounts: [(.filesUploaded, count)])
    }

    /// Runs a test's body with the engines of two processes on one Redis.
    private static func withBenches(
        _ body: @Sendable (isolated LoopHost, Bench, Bench, ManualClock) async throws -> Void
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let here = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let elsewhere = await Bench(redis.socketPath, on: host.loop, clock: clock)
                try await body(host, here, elsewhere, clock)
            }
        }
    }

    @Test func `Who was denied is denied again without Redis, and nobody is allowed`() async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon),
                    timeout: .milliseconds(200))
                #expect(try await bench.engine.decide(Self.upload(100)).status == .allowed)
                #expect(try await bench.engine.decide(Self.upload(1)).status == .limitReached)
                redis.kill()
                let denied = try await bench.engine.decide(Self.upload(1))
                #expect(denied.status == .limitReached)
                #expect(denied.violated.map(\.limit.name) == [Self.limit])
                #expect(denied.limits.first?.used == 100)
                // More than was denied does not fit either; another subject has to be asked about.
                #expect(try await bench.engine.decide(Self.upload(2)).status == .limitReached)
                // The macro's closure would run off the loop.
                do {
                    let verdict = try await bench.engine.decide(Self.upload(1, by: "b"))
                    Issue.record("\(verdict.status)")
                } catch {
                    #expect(error is MeteringError)
                }
            }
        }
    }

    @Test func `What an administrator raises is forgotten at once here, within a second elsewhere`()
        async throws
    {
        try await Self.withBenches { _, here, elsewhere, clock in
            for bench in [here, elsewhere] {
                _ = try await bench.engine.decide(Self.upload(100))
                #expect(try await bench.engine.decide(Self.upload(1)).status == .limitReached)
            }
            _ = try await here.engine.decide(
                Decision(.setOverride(101), subject: subjectID("a"), limits: [Self.limit]))
            #expect(try await elsewhere.engine.decide(Self.upload(1)).status == .limitReached)
            #expect(try await here.engine.decide(Self.upload(1)).status == .allowed)
            #expect(try await here.engine.decide(Self.upload(1)).status == .limitReached)
            _ = try await here.engine.decide(
                Decision(.setOverride(102), subject: subjectID("a"), limits: [Self.limit]))
            clock.advance(1000)
            #expect(try await elsewhere.engine.decide(Self.upload(1)).status == .allowed)
        }
    }

    @Test func `A denial ends with its window`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon / 86_400_000 * 86_400_000 + 86_400_000 - 400)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                _ = try await bench.engine.decide(Self.upload(100))
                #expect(try await bench.engine.decide(Self.upload(1)).status == .limitReached)
                clock.advance(399)
                #expect(try await bench.engine.decide(Self.upload(1)).status == .limitReached)
                clock.advance(1)
                #expect(try await bench.engine.decide(Self.upload(1)).status == .allowed)
            }
        }
    }

    @Test func `A denial tells of no window that has ended`() async throws {
        let limits = [
            PlainLimit("minute", "a", .minute, 5), PlainLimit("day", "b", .day, 5),
            PlainLimit("calls", "b", .minute, 50),
        ]
        try await withLimits(limits, at: noon + 59_500) { host, bench, redis in
            let asked = consume("s", ["a": 1, "b": 1])
            #expect(await bench.decide(consume("s", ["a": 5, "b": 5])).status == .allowed)
            for (violated, used) in [(["minute", "day"], 5), (["day"], 0)] {
                for _ in 0..<2 {
                    let denied = await bench.decide(asked).verdict
                    #expect(denied?.violated.map(\.limit.name) == violated)
                    for name in ["minute", "calls"] {
                        let state = denied?.state(name)
                        #expect(state?.used == used, "\(name)")
                        #expect(state?.resetsAt ?? Timestamp(milliseconds: 0) > bench.clock.now)
                    }
                    bench.clock.advance(300)
                }
            }
            // Of what is not over, and begins anew, neither.
            bench.clock.set(noon + 119_500)
            let day = consume("s", ["b": 1])
            _ = await bench.record(event("s", ["b": 7]))
            #expect(await bench.decide(day).verdict?.state("calls")?.used == 7)
            bench.clock.advance(500)
            #expect(await bench.decide(day).verdict?.state("calls")?.used == 0)
        }
    }

    @Test func `A hold that is released makes room at once`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let hold = Decision(
                    .openHold(id: ByteString("h"), seconds: 60), subject: subjectID("a"),
                    amounts: [(.filesUploaded, 100)])
                #expect(try await bench.engine.decide(hold).status == .allowed)
                #expect(try await bench.engine.decide(Self.upload(1)).status == .limitReached)
                _ = try await bench.engine.decide(
                    Decision(.releaseHold(id: ByteString("h")), subject: subjectID("a")))
                #expect(try await bench.engine.decide(Self.upload(1)).status == .allowed)
            }
        }
    }

    @Test func `A denial ends when a hold expires, here and elsewhere`() async throws {
        try await Self.withBenches { _, here, elsewhere, clock in
            func open(_ id: String, _ amount: Int, seconds: Int) async throws {
                let hold = Decision(
                    .openHold(id: ByteString(id), seconds: seconds), subject: subjectID("a"),
                    amounts: [(.filesUploaded, amount)])
                #expect(try await here.engine.decide(hold).status == .allowed)
            }
            try await open("short", 1, seconds: 1)
            try await open("long", 99, seconds: 2)
            clock.advance(700)
            for bench in [here, elsewhere] {
                // What fits only later says nothing of what fits sooner.
                for count in [1, 2] {
                    #expect(
                        try await bench.engine.decide(Self.upload(count)).status
                            == .limitReached)
                }
            }
            clock.advance(299)
            #expect(try await here.engine.decide(Self.upload(1)).status == .limitReached)
            clock.advance(1)
            for bench in [here, elsewhere] {
                let peek = Decision(
                    .check, subject: subjectID("a"), amounts: [(.filesUploaded, 1)])
                #expect(try await bench.engine.decide(peek).status == .allowed)
                #expect(try await bench.engine.decide(Self.upload(2)).status == .limitReached)
            }
            clock.advance(1000)
            for bench in [here, elsewhere] {
                #expect(try await bench.engine.decide(Self.upload(2)).status == .allowed)
            }
        }
    }

    @Test
    func `A hold that is settled with less makes room at once here, within a second elsewhere`()
        async throws
    {
        try await Self.withBenches { _, here, elsewhere, clock in
            let hold = Decision(
                .openHold(id: ByteString("h"), seconds: 60), subject: subjectID("a"),
                amounts: [(.filesUploaded, 100)])
            let opened = try await here.engine.decide(hold)
            #expect(opened.status == .allowed)
            for bench in [here, elsewhere] {
                #expect(try await bench.engine.decide(Self.upload(1)).status == .limitReached)
            }
            let settled = await here.engine.settle(
                ByteString("h"), with: event("a", ["files_uploaded": 90]), .overflow,
                heldCredits: nil)
            #expect(settled.counted != nil)
            #expect(try await here.engine.decide(Self.upload(1)).status == .allowed)
            clock.advance(1000)
            #expect(try await elsewhere.engine.decide(Self.upload(9)).status == .allowed)
        }
    }
}
