// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension Faults {
    @Test func `Nothing acknowledged is lost when Redis dies while its disk is slow`() async throws
    {
        let disk = try SlowDisk()
        defer { disk.remove() }
        let service = try TallyProcess(environment: disk.environment)
        try await blocking { try service.start() }
        let progress = Progress()
        let writers = await Counting.run(8, on: service, progress) {
            try progress.wait(for: 200)
            try disk.slowDown()
            // By now events have been answered, timed out and sent again on the slow disk.
            try waitUntil("slow writes") { disk.slowCalls >= 3 || progress.isStopped }
            let redis = try service.redisID()
            try service.killRedis()
            try waitUntil("the end of Redis") { !TallyProcess.isRunning(redis) }
            disk.speedUp()
            let count = progress.count
            try progress.wait(for: count + 50)
        }
        #expect(progress.problems == [])
        try await Counting.check(writers, on: service)
    }

    @Test func `With everysec a disk that does not keep up is told of, for as long as it does not`()
        async throws
    {
        let disk = try SlowDisk(milliseconds: 3500)
        defer { disk.remove() }
        let service = try TallyProcess(
            arguments: ["--threads", "1", "--durability", "everysec"],
            environment: disk.environment)
        try await blocking {
            try service.start()
            let client = service.client()
            let detail = "the disk of Redis is slow"
            var count = 0
            func isTold() throws -> Bool {
                count += 1
                let event = #"{"id":"\#(count)","subject":"a","meters":{"tokens":1}}"#
                #expect(try client.post("/v1/events", event).status == 200)
                let answer = try client.get("/readyz")
                #expect(answer.status == 200, "\(answer.text)")
                return answer.text.contains(detail)
            }
            func delays() throws -> Int {
                try client.get("/metrics").text.split(separator: "\n")
                    .first { $0.hasPrefix("tally_redis_delayed_fsyncs_total ") }
                    .flatMap { Int($0.split(separator: " ")[1]) } ?? -1
            }
            #expect(try !isTold() && delays() == 0)
            try disk.slowDown()
            while try !isTold() { usleep(50_000) }
            #expect(try delays() > 0)
            disk.speedUp()
            while try isTold() { usleep(50_000) }
            #expect(try client.usage(of: "a").totals["tokens"] == count)
        }
        #expect(service.terminate() == 0)
    }

    @Test func `A frozen Redis delays events and spoils none`() async throws {
        let service = try TallyProcess(arguments: ["--threads", "2", "--redis-timeout-ms", "300"])
        try await blocking { try service.start() }
        let progress = Progress()
        let writers = await Counting.run(8, on: service, progress) {
            for round in 1...2 {
                try progress.wait(for: round * 100)
                let redis = try service.redisID()
                freeze(redis)
                defer { kill(redis, SIGCONT) }
                // Twice, so that one request at least came after the freeze. A client that gets
                // no answer at all throws.
                for number in 0..<2 {
                    let body = #"{"id":"\#(round)/\#(number)","subject":"x","meters":{"tokens":1}}"#
                    let answer = try service.client().post("/v1/events", body)
                    guard answer.status == 503 else {
                        throw Failure(description: "\(answer.status) \(answer.text)")
                    }
                }
                let read = try service.client().get("/v1/subjects/x")
                guard read.status == 503 else {
                    throw Failure(description: "\(read.status) \(read.text)")
                }
            }
            let count = progress.count
            try progress.wait(for: count + 100)
        }
        #expect(progress.problems == [])
        try await Counting.check(writers, on: service)
        // Those whose outcome was not known, too, are counted once when they are sent again.
        let usage = try await blocking {
            let client = service.client()
            for id in ["1/0", "1/1", "2/0", "2/1"] {
                let body = #"{"id":"\#(id)","subject":"x","meters":{"tokens":1}}"#
                _ = try client.deliver(body, Progress())
            }
            return try client.usage(of: "x")
        }
        #expect(usage == Usage(events: 4, totals: ["tokens": 4]))
    }

    @Test func `A Redis that froze while nobody asked it anything is told by readyz`() async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2", "--redis-timeout-ms", "300"])
        try await blocking {
            try service.start()
            let client = service.client()
            let redis = try service.redisID()
            freeze(redis)
            var isThawed = false
            defer { if !isThawed { kill(redis, SIGCONT) } }
            var answer = try client.get("/readyz")
            while answer.status == 200 {
                usleep(20_000)
                answer = try client.get("/readyz")
            }
            #expect(answer.text.contains(#""redis":"not_connected""#))
            #expect(answer.text.contains(#""detail":"#), "\(answer.text)")
            kill(redis, SIGCONT)
            isThawed = true
            while try client.get("/readyz").status != 200 { usleep(20_000) }
        }
    }

    @Test func `A Redis that forgets its scripts is taught them again, and no event fails`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try await blocking { try service.start() }
        let progress = Progress()
        let writers = await Counting.run(4, on: service, progress) {
            for round in 1...10 {
                try progress.wait(for: round * 30)
                let reply = try service.redis("SCRIPT FLUSH")
                guard reply == "+OK\r\n" else { throw Failure(description: reply) }
                let body = #"{"subject":"x","meters":{"tokens":1}}"#
                let answer = try service.client().post("/v1/events", body)
                guard answer.status == 200, answer.total("tokens") == round else {
                    throw Failure(description: "\(answer.status) \(answer.text)")
                }
            }
        }
        #expect(progress.problems == [])
        try await Counting.check(writers, on: service)
    }

    /// A disk that can be made slow for Redis.
    private final class SlowDisk: Sendable {
        private let folder: String
        private var flag: String { "\(folder)/slow" }

        /// Compiles what slows it down, and puts a `redis-server` in front of the real one that
        /// loads it: the service hands its own environment to no child.
        init(milliseconds: Int = 1500) throws {
            folder = try makeTemporaryFolder()
            let library = try compileFixture("slow_fsync", into: folder)
            let script = """
                #!/bin/sh
                real=$(PATH=/usr/local/bin:/usr/bin:/bin command -v redis-server)
                export SLOW_FSYNC_FLAG=\(folder)/slow SLOW_FSYNC_MS=\(milliseconds)
                export LD_PRELOAD=\(library)
                exec "$real" "$@"

                """
            try FileManager.default.createDirectory(
                atPath: "\(folder)/bin", withIntermediateDirectories: false)
            try script.write(
                toFile: "\(folder)/bin/redis-server", atomically: true, encoding: .utf8)
            chmod("\(folder)/bin/redis-server", 0o700)
        }

        var environment: [String: String] {
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            return ["PATH": "\(folder)/bin:\(path)"]
        }

        func slowDown() throws { try Data().write(to: URL(filePath: flag)) }
        func speedUp() { unlink(flag) }
        func remove() { removeFolder(folder) }

        /// How often data was forced to the slow disk.
        var slowCalls: Int { (try? Data(contentsOf: URL(filePath: flag)))?.count ?? 0 }
    }

    @Test func `A Redis that takes no writes is told by its reason, until it takes them again`()
        async throws
    {
        let redis = try RedisServer(.appendOnly(fsync: "always"))
        let outside = try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
        try await blocking { try outside.start() }
        let problems = try await blocking { () -> [String] in
            var problems: [String] = []
            let client = outside.client()
            func ready() throws -> (status: Int, detail: String) {
                let answer = try client.get("/readyz")
                return (answer.status, answer.json["detail"] as? String ?? "")
            }
            func count(_ id: Int) throws -> Int {
                let body = #"{"id":"\#(id)","subject":"a","meters":{"tokens":1}}"#
                return try client.post("/v1/events", body).status
            }
            for (refuse, reason, allow) in [
                ("CONFIG SET maxmemory 1", "OOM", "CONFIG SET maxmemory 0"),
                ("REPLICAOF 127.0.0.1 1", "READONLY", "REPLICAOF NO ONE"),
                (
                    "CONFIG SET min-replicas-to-write 1", "NOREPLICAS",
                    "CONFIG SET min-replicas-to-write 0"
                ),
            ] {
                for attempt in 0..<2 {
                    try redis.request(refuse)
                    try waitUntil("\(reason)") { (try? ready().status) == 503 }
                    let detail = try ready().detail
                    if !detail.contains(reason) { problems.append("\(reason): \(detail)") }
                    let refused = try count(attempt)
                    if refused != 503 { problems.append("\(reason): counted \(refused)") }
                    let read = try client.get("/v1/subjects/none").status
                    if read != 404 { problems.append("\(reason): read \(read)") }
                    try redis.request(allow)
                    try waitUntil("writes after \(reason)") { (try? ready().status) == 200 }
                    let detailAfter = try ready().detail
                    if !detailAfter.isEmpty { problems.append(detailAfter) }
                    let counted = try count(attempt)
                    if counted != 200 { problems.append("after \(reason): \(counted)") }
                }
            }
            // What was refused was not counted, and what was sent again was, once.
            let usage = try client.usage(of: "a")
            if usage.events != 2 { problems.append("\(usage)") }
            return problems
        }
        #expect(problems == [])
        outside.terminate()
    }

    /// What makes a Redis answer with an error, beside what it says, and what ends that.
    private static func passingFaults(
        _ redis: RedisServer
    ) -> [(reason: String, begin: () throws -> ChildProcess?, end: () throws -> Void)] {
        func run(_ words: [String]) throws -> ChildProcess {
            try ChildProcess(
                ["redis-cli", "-s", redis.socketPath] + words, log: "\(redis.folder)/other.log")
        }
        return [
            (
                "MASTERDOWN",
                {
                    try redis.request("CONFIG SET replica-serve-stale-data no")
                    try redis.request("REPLICAOF 127.0.0.1 1")
                    return nil
                }, { try redis.request("REPLICAOF NO ONE") }
            ),
            (
                "READONLY",
                {
                    try redis.request("CONFIG SET replica-serve-stale-data yes")
                    try redis.request("REPLICAOF 127.0.0.1 1")
                    return nil
                }, { try redis.request("REPLICAOF NO ONE") }
            ),
            (
                "NOREPLICAS",
                {
                    try redis.request("CONFIG SET min-replicas-to-write 1")
                    return nil
                }, { try redis.request("CONFIG SET min-replicas-to-write 0") }
            ),
            (
                "BUSY", { try run(["EVAL", "while true do end", "0"]) },
                { try redis.request("SCRIPT KILL") }
            ),
            // So slow that it is noticed, for as long as its many keys take.
            (
                "LOADING",
                {
                    try redis.request("DEBUG POPULATE 8000 filler")
                    try redis.request("CONFIG SET key-load-delay 1000")
                    return try run(["DEBUG", "RELOAD"])
                }, {}
            ),
        ]
    }

    @Test func `An error of Redis that passes is told with the answer, and nothing counts twice`()
        async throws
    {
        let redis = try RedisServer(
            .appendOnly(fsync: "always"),
            extra: [
                "--busy-reply-threshold", "50", "--loading-process-events-interval-bytes", "1024",
            ])
        let service = try TallyProcess(arguments: [
            "--redis", "unix://\(redis.socketPath)", "--threads", "1",
        ])
        try await blocking {
            try service.start()
            let client = service.client()
            func body(_ id: String) -> String {
                #"{"id":"\#(id)","subject":"a","meters":{"tokens":1}}"#
            }
            var counted = 0
            for (reason, begin, end) in Self.passingFaults(redis) {
                let child = try begin()
                defer { child?.end() }
                try waitUntil("\(reason)") {
                    // Before that it may be counted, or not be answered for lack of a connection.
                    guard let answer = try? client.post("/v1/events", body(reason)),
                        answer.status == 503
                    else { return false }
                    return (answer.json["detail"] as? String ?? "").contains(reason)
                }
                try end()
                try service.waitUntilReady()
                let answer = try client.requestUntilReady("POST", "/v1/events", body(reason))
                #expect(answer.status == 200, "\(reason): \(answer.text)")
                counted += 1
                #expect(try client.usage(of: "a").totals == ["tokens": counted], "\(reason)")
            }
        }
        #expect(service.terminate() == 0)
    }
}
