// SPDX-License-Identifier: Apache-2.0
//
// Snapshots of the built service, while it is killed at any instant, while its disk fails, and while
// another one stands still.

import Foundation
import Synchronization
import TestSupport
import Testing

/// A service with a Redis that outlives it, and what happens to its snapshots.
private final class Snapshots: Sendable {
    let redis: RedisServer
    let service: TallyProcess
    private let tracer = Mutex<pid_t?>(nil)
    private let sent = Mutex(0)

    init(_ redis: RedisServer? = nil) throws {
        let redis = try redis ?? RedisServer()
        self.redis = redis
        service = try TallyProcess(arguments: [
            "--redis", "unix://\(redis.socketPath)", "--allow-volatile", "--flush-interval", "1",
        ])
    }

    deinit { endTrace() }

    var root: String { "\(service.data)/rollups" }

    /// Counts one token more.
    func count() throws {
        let body = #"{"subject":"a","meters":{"tokens":1}}"#
        let answer = try service.client().post("/v1/events", body)
        guard answer.status == 200 else { throw Failure(description: answer.text) }
        sent.withLock { $0 += 1 }
    }

    var sentCount: Int { sent.withLock { $0 } }

    /// What files say; throws when one of them is not whole.
    func read() throws -> [String: SnapshotReading] {
        let days = try SnapshotReading.all(in: service.data).days
        let problems = days.flatMap { date, day in day.problems.map { "\(date): \($0)" } }
        guard problems.isEmpty else { throw Failure(description: "\(problems)") }
        return days
    }

    func isCurrent(_ tokens: Int) throws -> Bool {
        try read().values.reduce(0) { $0 + ($1.totals.meters["tokens"] ?? 0) } == tokens
    }

    func waitUntilCurrent(_ tokens: Int) throws {
        let end = Date.now + 20
        while Date.now < end {
            if try isCurrent(tokens), try state() == "current" { return }
            usleep(20_000)
        }
        throw Failure(description: "\(try state()) \(service.log)")
    }

    /// What `/readyz` says of snapshots; the service has to be ready.
    func state() throws -> String {
        let answer = try service.client().get("/readyz")
        guard answer.status == 200 else { throw Failure(description: answer.text) }
        return answer.json["snapshots"] as? String ?? ""
    }

    /// Starts it after it was killed: a holder that died would keep its lease for ten seconds.
    func startAgain() throws {
        service.kill()
        try redis.request("DEL t1:{default}:lease:flush")
        try service.start()
    }

    /// Lets strace do something to those of the service's calls that concern snapshots.
    func trace(_ call: String, _ what: String) throws {
        let id = service.processID ?? 0
        let reply = try redis.request("HGET t1:{default}:meta flush_fence")
        let fence = Int(reply.split(separator: "\r\n").last ?? "") ?? 0
        let folder = "\(root)/default"
        var paths = [root, folder, "\(folder)/.lock"]
        // Today's: the tests do not run over midnight UTC for long.
        for offset in [0, 60.0] {
            let date = (Date.now + offset).formatted(.iso8601.year().month().day())
            let year = "\(folder)/\(date.prefix(4))"
            paths += [year, "\(year)/\(date).json"]
            paths += (0...20).map { "\(year)/.\(date).\(fence + $0).\(id).tmp" }
        }
        let child = try spawn(
            ["strace", "-f", "-q", "-o", "/dev/null"] + Set(paths).flatMap { ["-P", $0] }
                + ["-e", "trace=\(call)", "-e", "inject=\(call):\(what)", "-p", "\(id)"])
        tracer.withLock { $0 = child }
        try waitUntil("strace") {
            (try? String(contentsOfFile: "/proc/\(id)/status", encoding: .utf8))?.contains(
                "TracerPid:\t\(child)") == true
        }
    }

    func endTrace() {
        guard let id = tracer.withLock({ $0.take() }) else { return }
        kill(id, SIGTERM)
        var status: Int32 = 0
        for _ in 0..<300 {
            if waitpid(id, &status, WNOHANG) == id { return }
            usleep(1_000)
        }
        // It waits for a process that is dead already; one that lives goes on without it.
        kill(id, SIGKILL)
        waitpid(id, &status, 0)
    }
}

extension Faults {
    /// The calls of one flush, in their order: with folders to make, or without.
    private static let points = [
        ("/^mkdir", 1), ("/^mkdir", 2), ("/^mkdir", 3), ("openat", 1), ("openat", 2), ("openat", 3),
        ("openat", 4), ("write", 1), ("write", 2), ("fsync", 1), ("/^rename", 1), ("fsync", 2),
    ]

    @Test func `A flush that is killed at any of its calls leaves whole files`() async throws {
        let snapshots = try Snapshots()
        try await blocking {
            try snapshots.service.start()
            for (call, number) in Self.points {
                if call == "/^mkdir" {
                    removeFolder(snapshots.root)
                } else {
                    try snapshots.waitUntilCurrent(snapshots.sentCount)
                }
                let id = snapshots.service.processID ?? 0
                try snapshots.trace(call, "signal=KILL:when=\(number)")
                try snapshots.count()
                try waitUntil("the end at \(call) \(number)") { !TallyProcess.isRunning(id) }
                snapshots.endTrace()
                let isBeforeRename = call != "fsync" || number == 1
                let days = try snapshots.read()
                if call != "/^mkdir" {
                    let tokens = days.values.first?.totals.meters["tokens"]
                    // The old file, or the new one.
                    let expected = snapshots.sentCount - (isBeforeRename ? 1 : 0)
                    if call != "/^rename" || tokens != snapshots.sentCount {
                        try #require(tokens == expected, "\(call) \(number)")
                    }
                }
                try snapshots.startAgain()
            }
            try snapshots.waitUntilCurrent(snapshots.sentCount)
        }
        let (days, others) = try SnapshotReading.all(in: snapshots.service.data)
        #expect(days.count == 1)
        #expect(others == [])
    }

    @Test(arguments: ["EIO", "ENOSPC", "EROFS"])
    func `A disk that refuses is told, and forgotten when it does not any more`(error: String)
        async throws
    {
        let snapshots = try Snapshots()
        try await blocking {
            try snapshots.service.start()
            try snapshots.count()
            try snapshots.waitUntilCurrent(1)
            for call in ["openat", "write", "fsync", "/^rename"] {
                try snapshots.trace(call, "error=\(error):when=1+")
                let failures = try Self.failures(snapshots)
                try snapshots.count()
                try waitUntil("an error of \(call)") {
                    (try? snapshots.state()).map { $0 != "current" && $0 != "" } == true
                }
                try #require(try Self.failures(snapshots) > failures)
                // Nothing of the old file is lost, and the service counts on.
                try #require(try snapshots.isCurrent(snapshots.sentCount - 1))
                snapshots.endTrace()
                try snapshots.waitUntilCurrent(snapshots.sentCount)
            }
        }
        #expect(try SnapshotReading.all(in: snapshots.service.data).others == [])
        #expect(snapshots.service.log.contains("a snapshot was not written"))
        #expect(snapshots.service.terminate() == 0)
    }

    private static func failures(_ snapshots: Snapshots) throws -> Int {
        let text = try snapshots.service.client().get("/metrics").text
        let name = "tally_flush_failures_total "
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.dropFirst(name.count)) } ?? -1
    }

    static let canMount = geteuid() == 0 && mountWorks()

    private static func mountWorks() -> Bool {
        guard let folder = try? makeTemporaryFolder() else { return false }
        defer { removeFolder(folder) }
        guard mount("tmpfs", folder, "tmpfs", 0, "size=64k") == 0 else { return false }
        return umount(folder) == 0
    }

    @Test(.enabled(if: canMount, "needs the right to mount a tmpfs"))
    func `A full disk and a read-only one keep the old snapshot`() async throws {
        let snapshots = try Snapshots()
        let root = snapshots.root
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        try #require(mount("tmpfs", root, "tmpfs", 0, "size=64k") == 0)
        defer {
            snapshots.service.kill()
            umount2(root, Int32(MNT_DETACH))
        }
        try await blocking {
            try snapshots.service.start()
            try snapshots.count()
            try snapshots.waitUntilCurrent(1)
            let filler = "\(root)/filler"
            let descriptor = open(filler, O_WRONLY | O_CREAT, 0o600)
            let block = [UInt8](repeating: 0, count: 4096)
            while write(descriptor, block, block.count) > 0 {}
            close(descriptor)
            try snapshots.count()
            try waitUntil("a full disk") {
                (try? snapshots.state())?.contains("No space left") == true
            }
            try #require(try snapshots.isCurrent(1))
            unlink(filler)
            try snapshots.waitUntilCurrent(2)
            try #require(mount("", root, "", UInt(MS_REMOUNT | MS_RDONLY), nil) == 0)
            try snapshots.count()
            try waitUntil("a read-only disk") {
                (try? snapshots.state())?.contains("Read-only") == true
            }
            try #require(try snapshots.isCurrent(2))
            try #require(mount("", root, "", UInt(MS_REMOUNT), nil) == 0)
            try snapshots.waitUntilCurrent(3)
        }
    }

    /// One stands still in the midst of a flush, before it renames or with the folder's lock in its
    /// hands; when it goes on, the other one has gone further.
    @Test(arguments: ["fsync", "/^rename"])
    func `A flusher that stood still overwrites nothing newer`(call: String) async throws {
        let snapshots = try Snapshots()
        let other = try Snapshots(snapshots.redis)
        try await blocking {
            try snapshots.service.start()
            try snapshots.count()
            try snapshots.waitUntilCurrent(1)
            let id = snapshots.service.processID ?? 0
            try snapshots.trace(call, "signal=STOP:when=1")
            try snapshots.count()
            try waitUntil("the standstill") {
                Self.state(of: id) == "T" || Self.state(of: id) == "t"
            }
            snapshots.endTrace()
            // Both in one folder.
            try FileManager.default.createSymbolicLink(
                atPath: other.service.data, withDestinationPath: snapshots.service.data)
            try other.service.start()
            defer { kill(id, SIGCONT) }
            try other.count()
            if call == "fsync" {
                try other.waitUntilCurrent(3)
            } else {
                // It holds the lock: the other one waits, and says so.
                let end = Date.now + 20
                while try !other.state().contains(".lock") {
                    guard Date.now < end else { throw Failure(description: try other.state()) }
                    usleep(50_000)
                }
            }
            kill(id, SIGCONT)
            for _ in 0..<20 {
                usleep(100_000)
                // Never back to what the sleeper had read.
                if call == "fsync" { try #require(try other.isCurrent(3)) }
            }
            try other.waitUntilCurrent(3)
            try snapshots.waitUntilCurrent(3)
            snapshots.service.terminate()
            other.service.terminate()
        }
        #expect(try SnapshotReading.all(in: snapshots.service.data).others == [])
    }

    private static func state(of id: Int32) -> String {
        let text = (try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8)) ?? ""
        return text.lastIndex(of: ")").map { String(text[$0...].dropFirst(2).prefix(1)) } ?? ""
    }

    @Test func `A service that is killed under load leaves whole snapshots`() async throws {
        let snapshots = try Snapshots()
        try await blocking { try snapshots.service.start() }
        let progress = Progress()
        let revisions = Revisions()
        await inParallel(3) { index in
            progress.attempt {
                guard index == 0 else { return try Self.load(snapshots.service, progress, index) }
                defer { progress.stop() }
                for round in 0..<10 {
                    usleep(UInt32(1_000_000 + (round * 37_813) % 300_000))
                    snapshots.service.kill()
                    revisions.note(try snapshots.read())
                    try snapshots.startAgain()
                }
            }
        }
        #expect(progress.problems == [])
        #expect(revisions.areAscending)
        #expect(revisions.count > 3)
        // The end writes what is left, and what dead writers have left is swept.
        #expect(try await blocking { snapshots.service.terminate() } == 0)
        let (days, others) = try SnapshotReading.all(in: snapshots.service.data)
        #expect(others == [])
        let today = try #require(days.values.max { $0.date < $1.date })
        #expect(today.problems == [])
        let changes = try snapshots.redis.request("HVALS t1:{default}:changes")
        #expect(changes.contains("\r\n\(today.revision)\r\n"), "\(today.revision) \(changes)")
    }

    private static func load(_ service: TallyProcess, _ progress: Progress, _ writer: Int) throws {
        let client = service.client()
        var count = 0
        while !progress.isStopped {
            count += 1
            let lines = (0..<50).map { index in
                #"{"id":"\#(writer)-\#(count)-\#(index)","subject":"s\#((count * 7 + index) % 400)","#
                    + #""model":"m\#(index % 5)","meters":{"tokens":\#(index)}}"#
            }
            let body = lines.joined(separator: "\n")
            if try client.deliver(body, type: "application/x-ndjson", progress) != nil {
                progress.advance()
            }
        }
    }

    private final class Revisions: Sendable {
        private let seen = Mutex<[[String: Int]]>([])
        func note(_ days: [String: SnapshotReading]) {
            seen.withLock { $0.append(days.mapValues(\.revision)) }
        }
        var count: Int { Set(seen.withLock { $0 }.flatMap(\.values)).count }
        var areAscending: Bool {
            let seen = seen.withLock { $0 }
            return zip(seen, seen.dropFirst()).allSatisfy { old, new in
                old.allSatisfy { new[$0.key] ?? -1 >= $0.value }
            }
        }
    }
}
