// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Counts some days of many subjects, with credits, and ends the service, which writes its files.
    static func makeHistory(_ service: TallyProcess) throws {
        try service.start()
        let now = Int(Date().timeIntervalSince1970)
        for day in 0..<4 {
            let time = Date(timeIntervalSince1970: Double(now - day * 86_400)).ISO8601Format()
            let lines = (0..<2_000).map {
                #"{"subject":"s\#($0)","time":"\#(time)","meters":{"tokens":\#($0 + day),"credits_micro":5}}"#
            }
            let answer = try service.client().post(
                "/v1/events", lines.joined(separator: "\n"), type: "application/x-ndjson")
            guard answer.status == 200 else { throw Failure(description: answer.text) }
        }
        guard service.terminate() == 0 else { throw Failure(description: service.log) }
    }

    @Test func `A restore that is killed at any moment is done again, and verifies`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            var random = SeededGenerator(6)
            var killedMarks = 0
            for _ in 0..<8 {
                let id = try spawn(
                    [
                        TallyProcess.binary, "restore", "\(service.data)/rollups", "--force",
                        "--data", "\(folder)/data",
                    ], output: "\(folder)/log")
                usleep(UInt32(random.next() % 900_000))
                kill(id, SIGKILL)
                var status: Int32 = 0
                waitpid(id, &status, 0)
                if status & 0x7f == SIGKILL { killedMarks += 1 }
            }
            #expect(killedMarks > 0)
            let words = [
                "restore", "\(service.data)/rollups", "--force", "--data", "\(folder)/data",
            ]
            let restored = try TallyProcess.run(words)
            #expect(restored.status == 0, "\(restored.errors)")
            let verified = try TallyProcess.run(["verify", "--data", "\(folder)/data"])
            #expect(verified.status == 0, "\(verified.output)")
            let refused = try TallyProcess.run(words.filter { $0 != "--force" })
            #expect(refused.status == 1 && refused.errors.contains("--force"))
        }
    }

    @Test func `A restore whose files cannot be copied leaves everything as it was`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let other = try TallyProcess()
            try Self.makeHistory(other)
            let folder = "\(other.data)/rollups/default"
            func listing() throws -> [String: Data?] {
                let names = try FileManager.default.subpathsOfDirectory(atPath: folder)
                return Dictionary(
                    uniqueKeysWithValues: names.map {
                        ($0, FileManager.default.contents(atPath: "\(folder)/\($0)"))
                    })
            }
            // Copied last; its place is taken.
            let place = "\(folder)/.state.0.restore.tmp"
            try FileManager.default.createDirectory(
                atPath: place, withIntermediateDirectories: false)
            let before = try listing()
            let words = ["restore", "\(service.data)/rollups", "--force", "--data", other.data]
            let failed = try TallyProcess.run(words)
            #expect(failed.status != 0 && failed.errors.contains(place), "\(failed)")
            #expect(try listing() == before)
            #expect(try TallyProcess.run(["verify", "--data", other.data]).status == 0)
            try FileManager.default.removeItem(atPath: place)
            #expect(try TallyProcess.run(words).status == 0)
            #expect(try TallyProcess.run(["verify", "--data", other.data]).status == 0)
            #expect(try listing().keys.allSatisfy { !$0.contains(".tmp") })
        }
    }

    @Test func `A workspace whose state is missing is named when it is restored`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let state = "\(service.data)/rollups/default/state.json"
            func restore() throws -> (status: Int32, output: String, errors: String) {
                let run = try TallyProcess.run([
                    "restore", "\(service.data)/rollups", "--force", "--data", "\(folder)/data",
                ])
                return (run.status, run.output, run.errors)
            }
            let whole = try restore()
            #expect(whole.status == 0 && !whole.output.contains("state.json"), "\(whole)")
            #expect(!whole.errors.contains("state.json"))
            unlink(state)
            let lacking = try restore()
            #expect(lacking.status == 0, "\(lacking)")
            #expect(lacking.errors.contains("\(state) is missing"), "\(lacking)")
            #expect(lacking.output.contains("restored default: 4 days"))
            #expect(lacking.output.contains("without its state.json"), "\(lacking)")
        }
    }

    @Test func `A restore says which secrets need the key of before`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--allow-private-webhooks"])
            try service.start()
            let alerts = """
                {"alerts":[{"name":"a","on":{"limit":"files_per_day"},"percent":[50],
                "to":{"webhook":"http://127.0.0.1:1/x"}}]}
                """
            let put = try service.client().request(
                "PUT", "/v1/alerts", Array(alerts.utf8), "application/json")
            #expect(put.status == 200, "\(put.text)")
            #expect(service.terminate() == 0)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let words = ["restore", "\(service.data)/rollups", "--force", "--data", folder]
            let lacking = try TallyProcess.run(words)
            #expect(lacking.status == 0, "\(lacking)")
            #expect(
                lacking.errors.contains("secrets.key is missing from \(folder), and"),
                "\(lacking)")
            let key = "\(folder)/secrets.key"
            try FileManager.default.copyItem(atPath: "\(service.data)/secrets.key", toPath: key)
            let whole = try TallyProcess.run(words)
            #expect(whole.status == 0 && !whole.errors.contains("secrets"), "\(whole)")
            // Another one opens nothing.
            let other = Data((0..<32).map { UInt8($0) }).base64EncodedString()
            try Data("\(other)\n".utf8).write(to: URL(fileURLWithPath: key))
            #expect(try TallyProcess.run(words).errors.contains("another secrets.key"))
        }
    }

    @Test func `Verify asks a service that runs, and says with its status what it found`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            try service.start()
            let words = ["verify", "--data", service.data]
            #expect(try TallyProcess.run(words).status == 0)
            try service.redis("HINCRBY t1:{default}:changes 1 1")
            try service.redis("ZADD t1:{default}:holds:open 4000000000000 ghost")
            let found = try TallyProcess.run(words)
            #expect(found.status == 1 && found.output.contains("ghost"), "\(found)")
            #expect(try TallyProcess.run(["verify", "--data", "/nonexistent/x"]).status == 69)
            #expect(try TallyProcess.run(["verify", "what"]).status == 2)
            #expect(try TallyProcess.run(["restore"]).status == 2)
            // Data that are being restored are refused by a service.
            try service.redis("HSET t1:{default}:meta restoring x")
            try service.killRedis()
            try waitUntil("the refusal") {
                (try? service.client().get("/readyz"))?.text.contains("restore") ?? false
            }
        }
    }

    @Test func `Verify names a workspace with damaged settings and looks at the others`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            try service.start()
            try service.redis("HSET t1:{@}:workspaces broken what")
            try service.redis("ZADD t1:{default}:holds:open 4000000000000 ghost")
            let found = try TallyProcess.run(["verify", "--data", service.data])
            #expect(found.status == 1, "\(found)")
            #expect(found.output.contains("ghost"), "\(found)")
            #expect(
                found.output.contains(
                    "broken: Redis: settings of the workspace: expected to be readable, found what"),
                "\(found)")
            let one = try TallyProcess.run(
                ["verify", "--data", service.data, "--workspace", "broken"])
            #expect(one.status == 1 && !one.output.contains("ghost"), "\(one)")
        }
    }

    @Test func `Verify starts no Redis in a folder that is no service's`() async throws {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let verified = try TallyProcess.run(["verify", "--data", folder])
            #expect(verified.status == 69 && verified.output.isEmpty)
            #expect(verified.errors.contains("--redis"), "\(verified.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
        }
    }
}
