// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct RepeatedHoldTests {
    @Test func `A hold is known by what it asked for after a restore, too`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                let engine = world.bench.engine
                func open(_ id: String, _ credits: Int) async throws -> DecisionStatus {
                    try await engine.decide(
                        Decision(
                            .openHold(id: ByteString(id), seconds: 600), subject: subjectID("a"),
                            credits: credits, amounts: amounts(["tokens": 4]))
                    ).status
                }
                #expect(try await open("nothing", 0) == .allowed)
                try await world.queries.put("a", #"{"demo":true}"#)
                for id in ["open", "ended", "old"] { #expect(try await open(id, 30) == .allowed) }
                _ = try await engine.decide(
                    Decision(.releaseHold(id: ByteString("ended")), subject: subjectID("a")))
                // As an earlier build kept it, which noted no credits of who is not counted.
                let script =
                    "local holds = 't1:{default}:holds' "
                    + "local hold = cmsgpack.unpack(redis.call('HGET', holds, 'old')) hold[10] = nil "
                    + "return redis.call('HSET', holds, 'old', cmsgpack.pack(hold))"
                #expect(try redis.request("EVAL \"\(script)\" 0").hasPrefix(":0"))
                func compare() async throws {
                    for id in ["open", "ended"] {
                        #expect(try await open(id, 30) == .repeated, "\(id)")
                        #expect(try await open(id, 31) == .conflict, "\(id)")
                    }
                    #expect(try await open("nothing", 0) == .repeated)
                    #expect(try await open("nothing", 7) == .conflict)
                    // Of such a one it is not known.
                    #expect(try await open("old", 30) == .repeated)
                    #expect(try await open("old", 31) == .repeated)
                }
                try await compare()
                try await world.flushing.flush()
                #expect(try await world.verify() == [])
                _ = try await world.restore(isForced: true)
                #expect(try await world.verify() == [])
                try await compare()
                try await world.queries.put("a", #"{"demo":false}"#)
                try await compare()
            }
        }
    }
}
