// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Who may use a data folder while a service does.
extension Faults {
    /// Starts a service that has no folder of its own, and waits for it.
    private static func launch(
        _ words: [String], in folder: String, environment: [String: String] = [:]
    ) throws -> Int32 {
        let port = try freePort()
        var all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        all["TALLY_ADMIN_KEY"] = TallyProcess.key
        let id = try spawn(
            [TallyProcess.binary, "serve", "--listen", "127.0.0.1:\(port)"] + words,
            environment: all, output: "\(folder)/log")
        let client = BlockingHTTPClient(port: port, key: TallyProcess.key)
        do {
            try waitUntil("a service that is ready") {
                (try? client.get("/readyz"))?.status == 200
            }
        } catch {
            end(id)
            throw error
        }
        return id
    }

    private static func end(_ id: Int32) {
        kill(id, SIGTERM)
        var status: Int32 = 0
        waitpid(id, &status, 0)
    }

    @Test func `Nobody restores to the folder of a service, wherever its Redis is`() async throws {
        try await blocking {
            let source = try TallyProcess()
            try EndToEnd.makeHistory(source)
            let redis = try RedisServer(.appendOnly(fsync: "everysec"))
            let outside = ["--redis", "unix://\(redis.socketPath)"]
            let service = try TallyProcess(arguments: outside)
            try service.start()
            let data = ["--data", service.data]
            let restore = ["restore", "\(source.data)/rollups", "--force"] + data
            func isRefused(_ words: [String], by id: Int32) throws {
                let run = try TallyProcess.run(words)
                #expect(run.status == 1 && run.output.isEmpty, "\(words): \(run)")
                #expect(run.errors.contains("is in use by process \(id)"), "\(words): \(run)")
            }
            let id = try #require(service.processID)
            let own = ["serve", "--listen", "127.0.0.1:\(try freePort())"] + data
            for words in [restore, restore + outside, own] { try isRefused(words, by: id) }
            // Services of one Redis may share a folder; the last one keeps it from others.
            let other = try Self.launch(outside + data, in: source.folder)
            #expect(service.terminate() == 0)
            try isRefused(restore, by: other)
            // Verify says where to look, also where a Redis was before.
            let nowhere = try TallyProcess.run(["verify"] + data)
            #expect(nowhere.status == 69 && nowhere.errors.contains("--redis"), "\(nowhere)")
            mkdir("\(service.data)/appendonlydir", 0o700)
            let before = try TallyProcess.run(["verify"] + data)
            #expect(before.status == 69 && before.errors.contains("--redis"), "\(before)")
            let gone = ["--redis", "unix:///\(service.folder)/none", "--snapshots", service.data]
            let silent = try TallyProcess.run(["verify"] + gone)
            #expect(silent.status == 69 && silent.errors.contains("connect: "), "\(silent)")
            Self.end(other)
            let restored = try TallyProcess.run(restore + outside)
            #expect(restored.status == 0, "\(restored)")
        }
    }

    @Test func `Verify asks the service of a folder whose path is too long for a socket`()
        async throws
    {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let data = "\(folder)/" + String(repeating: "long ", count: 30)
            let id = try Self.launch(["--data", data], in: folder)
            defer { Self.end(id) }
            // Where the service made its socket is not where this process would.
            let verified = try TallyProcess.run(
                ["verify", "--data", data], environment: ["XDG_RUNTIME_DIR": folder])
            #expect(verified.status == 0, "\(verified)")
            #expect(verified.errors.contains("no differences in default"), "\(verified)")
        }
    }
}
