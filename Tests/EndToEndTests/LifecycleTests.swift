// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport
import Testing

extension Faults {
    @Test func `SIGTERM under load ends service and Redis, and keeps all that was acknowledged`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try await blocking { try service.start() }
        let redis = try await blocking { try service.redisID() }
        let progress = Progress()
        let ending = Ending()
        let writers = await Counting.run(16, on: service, progress) {
            try progress.wait(for: 300)
            ending.status.withLock { $0 = service.terminate() }
            ending.isRedisLeft.withLock { $0 = TallyProcess.isRunning(redis) }
        }
        #expect(progress.problems == [])
        #expect(ending.status.withLock { $0 } == 0)
        #expect(!ending.isRedisLeft.withLock { $0 })
        try await blocking { try service.start() }
        try await Counting.check(writers, on: service)
    }

    @Test func `SIGHUP ends it as SIGTERM does, other signals do nothing`() async throws {
        let service = try TallyProcess()
        try await blocking {
            try service.start()
            let id = try #require(service.processID)
            for signal in [SIGUSR1, SIGUSR2, SIGALRM] { kill(id, signal) }
            #expect(try service.client().get("/readyz").status == 200)
            kill(id, SIGHUP)
            try waitUntil("the end") { service.log.contains(#""message":"stopped""#) }
        }
        #expect(service.terminate() == 0)
        #expect(service.log.contains(#""signal":"SIGHUP""#))
    }

    @Test func `No library clears up at the end, while threads may use what it frees`() throws {
        let folder = try makeTemporaryFolder()
        defer { removeFolder(folder) }
        let library = try compileFixture("tell_exit", into: folder)
        let end = try TallyProcess.run(["--version"], environment: ["LD_PRELOAD": library])
        #expect(end.status == 0)
        #expect(end.output.hasPrefix("tally "))
        #expect(end.errors == "")
    }

    @Test func `Under nohup it outlives its terminal`() async throws {
        let service = try TallyProcess(launcher: ["nohup"])
        try await blocking {
            try service.start()
            kill(try #require(service.processID), SIGHUP)
            #expect(try service.client().get("/readyz").status == 200)
        }
        #expect(service.terminate() == 0)
        #expect(!service.log.contains("SIGHUP"))
    }

    @Test func `What is cut off the end of the log of Redis is told and counted`() async throws {
        let service = try TallyProcess()
        let cut = try await blocking { () -> String in
            try service.start()
            let client = service.client()
            let metric = "\ntally_redis_log_cut_bytes_total "
            #expect(try client.get("/metrics").text.contains(metric + "0\n"))
            let body = #"{"id":"1","subject":"a","meters":{"tokens":1}}"#
            #expect(try client.post("/v1/events", body).status == 200)
            let redis = try service.redisID()
            service.kill()
            try waitUntil("the end of Redis") { !TallyProcess.isRunning(redis) }
            let log = URL(
                filePath: "\(service.data)/appendonlydir/appendonly.aof.1.incr.aof")
            try Data(contentsOf: log).dropLast(3).write(to: log)
            try service.start()
            let text = try service.client().get("/metrics").text
            let start = try #require(text.firstRange(of: metric)).upperBound
            return String(text[start...].prefix { $0 != "\n" })
        }
        #expect(service.terminate() == 0)
        #expect(try #require(Int(cut)) > 0)
        #expect(service.log.contains(#""cut_bytes":"\#(cut)""#))
    }

    @Test func `A killed service takes its Redis with it, and the next one finds the same totals`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try await blocking { try service.start() }
        let redis = try await blocking { try service.redisID() }
        let progress = Progress()
        let writers = await Counting.run(16, on: service, progress) {
            try progress.wait(for: 300)
            service.kill()
        }
        #expect(progress.problems == [])
        try await blocking {
            try waitUntil("the end of Redis") { !TallyProcess.isRunning(redis) }
            try service.start()
        }
        try await Counting.check(writers, on: service)
    }

    @Test func `A second service on the same folder ends and names the first, which goes on`()
        async throws
    {
        let service = try TallyProcess()
        let (id, second, status) = try await blocking {
            try service.start()
            let second = try TallyProcess.run(
                ["serve", "--listen", "127.0.0.1:\(freePort())", "--data", service.data],
                environment: ["TALLY_ADMIN_KEY": TallyProcess.key])
            let body = #"{"subject":"x","meters":{"tokens":1}}"#
            let answer = try service.client().post("/v1/events", body)
            return (service.processID, second, answer.status)
        }
        let text = second.output + second.errors
        #expect(second.status != 0)
        #expect(text.contains("\(try #require(id))"), "\(text)")
        #expect(status == 200)
    }

    private final class Ending: Sendable {
        let status = Mutex<Int32?>(nil)
        let isRedisLeft = Mutex(true)
    }

    @Test func `Clients cannot take the descriptors that the service needs`() async throws {
        let service = try TallyProcess(launcher: ["prlimit", "--nofile=600:600", "--"])
        try await blocking {
            try service.start()
            let id = try #require(service.processID)
            var clients = (0..<500).map { _ in service.client() }
            let statuses = clients.map { (try? $0.get("/healthz"))?.status ?? 0 }
            #expect(statuses.count { $0 == 200 } > 200)
            #expect(statuses.contains(503))
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(id)/fd").count
            #expect(open < 500)
            clients = []
            try waitUntil("connections are free again") {
                (try? service.client().get("/readyz"))?.status == 200
            }
        }
        #expect(service.terminate() == 0)
    }

    @Test func `Out of descriptors it rests from accepting, and goes on when there are some again`()
        async throws
    {
        let service = try TallyProcess(launcher: ["prlimit", "--nofile=4096:4096", "--"])
        try await blocking {
            try service.start()
            let id = try #require(service.processID)
            func allow(_ count: Int) throws {
                let prlimit = Process()
                prlimit.executableURL = URL(filePath: "/usr/bin/env")
                prlimit.arguments = ["prlimit", "--pid", "\(id)", "--nofile=\(count):4096"]
                try prlimit.run()
                prlimit.waitUntilExit()
                #expect(prlimit.terminationStatus == 0)
            }
            let known = service.client()
            #expect(try known.get("/readyz").status == 200)
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(id)/fd").count
            try allow(open + 4)
            // The system takes them; the service cannot.
            let others = (0..<40).map { _ in service.client() }
            for other in others { try other.connect() }
            try waitUntil("it is told") {
                service.log.contains("out of descriptors or memory, not accepting")
            }
            // Who is connected is answered.
            let body = #"{"id":"1","subject":"a","meters":{"tokens":1}}"#
            #expect(try known.post("/v1/events", body).status == 200)
            // Those who go make room for others.
            for other in others { other.disconnect() }
            try service.waitUntilReady()
            try allow(4096)
            let clients = (0..<50).map { _ in service.client() }
            #expect(clients.allSatisfy { (try? $0.post("/v1/events", body))?.status == 200 })
            #expect(try known.usage(of: "a").totals == ["tokens": 1])
        }
        #expect(service.terminate() == 0)
    }

    @Test func `A hold that expires is no open one but a leaked one in the metrics`() async throws {
        let service = try TallyProcess()
        try await blocking {
            try service.start()
            let client = service.client()
            for (id, seconds) in [("long", 600), ("short", 1), ("released", 1)] {
                let body =
                    #"{"id":"\#(id)","subject":"a","amounts":{"tokens":1},"ttl_s":\#(seconds)}"#
                #expect(try client.post("/v1/holds", body).status == 201)
                guard id == "released" else { continue }
                #expect(try client.post("/v1/holds/\(id)/release", "{}").status == 200)
            }
            // Counted every ten seconds.
            try waitUntil("the metrics") {
                guard let text = try? client.get("/metrics").text else { return false }
                return text.contains("\ntally_holds_open 1\n")
                    && text.contains("\ntally_holds_leaked 1\n")
            }
        }
        #expect(service.terminate() == 0)
    }

    @Test func `Too few descriptors are refused at the start`() async throws {
        let service = try TallyProcess(launcher: ["prlimit", "--nofile=200:200", "--"])
        try await blocking {
            try service.launch()
            try waitUntil("the reason is told") { service.log.contains("ulimit -n 512") }
        }
    }

    @Test
    func `Where standard input, output and error are closed, nothing else gets their numbers`()
        async throws
    {
        let closed = ["/bin/sh", "-c", #"exec "$0" "$@" <&- >&- 2>&-"#]
        let service = try TallyProcess(launcher: closed)
        try await blocking {
            try service.start()
            let id = try #require(service.processID)
            for number in 0...2 {
                let link = "/proc/\(id)/fd/\(number)"
                let target = try FileManager.default.destinationOfSymbolicLink(atPath: link)
                #expect(target == "/dev/null", "\(number)")
            }
        }
        #expect(service.terminate() == 0)
    }

    @Test func `An address that is taken is told in words`() async throws {
        let service = try TallyProcess()
        try await blocking {
            try service.start()
            let other = try TallyProcess.run([
                "serve", "--listen", "127.0.0.1:\(service.port)", "--data",
                "\(service.folder)/other",
            ])
            #expect(other.status == 1)
            let words =
                "--listen 127.0.0.1:\(service.port): Address already in use; is another service there?"
            #expect(other.errors.contains(words), "\(other.errors)")
            #expect(access("\(service.folder)/other", F_OK) != 0)
        }
    }

    @Test func `What a service makes is for nobody else`() async throws {
        let service = try TallyProcess()
        try await blocking {
            try service.start()
            #expect(
                try service.client().post("/v1/events", #"{"subject":"a","meters":{"x":1}}"#).status
                    == 200)
        }
        #expect(service.terminate() == 0)
        let names = try FileManager.default.subpathsOfDirectory(atPath: service.data)
        #expect(names.contains { $0.hasPrefix("appendonlydir/") && $0.hasSuffix(".aof") })
        #expect(names.contains { $0.hasSuffix(".json") })
        for name in names {
            let path = "\(service.data)/\(name)"
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
            #expect((mode as? Int ?? -1) & 0o077 == 0, "\(name)")
        }
    }

    @Test func `A name to listen on that has no address is told with the option`() async throws {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let run = try TallyProcess.run([
                "serve", "--listen", "nohost.invalid:8080", "--data", "\(folder)/data",
            ])
            #expect(run.status == 2)
            #expect(run.errors.contains("tally: --listen nohost.invalid:8080: "), "\(run.errors)")
            #expect(!run.errors.contains("Cannot assign"), "\(run.errors)")
        }
    }
}
