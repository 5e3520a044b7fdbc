// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Restores from and to folders of odd names, or that cannot be read.
extension EndToEnd {
    /// What a folder has below it.
    private static func files(_ folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder)
        where name.hasSuffix(".json") {
            files[name] = FileManager.default.contents(atPath: "\(folder)/\(name)")
        }
        return files
    }

    @Test func `Snapshots come back from and to folders of any name`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let expected = try Self.files("\(service.data)/rollups")
            #expect(expected.count == 5)
            // A mark behind a slash is one letter with it; the last two look the same.
            let names = ["dữ liệu/\u{323}sao lưu 🇻🇳", "\u{e9}", "e\u{301}"]
            let backup = "\(folder)/\(names[0])"
            try FileManager.default.createDirectory(
                atPath: backup, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: "\(service.data)/rollups", toPath: "\(backup)/rollups")
            func restore(_ from: String, _ words: [String]) throws {
                let run = try TallyProcess.run(["restore", from] + words)
                #expect(run.status == 0, "\(from): \(run.errors)")
                #expect(!run.output.contains("removed"), "\(run.output)")
                let data = words.last ?? ""
                #expect(try Self.files("\(data)/rollups") == expected, "\(words)")
                let verified = try TallyProcess.run(["verify", "--data", data])
                #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
            }
            let data = "\(folder)/\u{323}đích/đến/\u{323}x"
            try restore("\(backup)/rollups", ["--data", data])
            try restore("\(backup)/../\u{323}sao lưu 🇻🇳//rollups/", ["--force", "--data", data])
            try restore("\(backup)/rollups/default/", ["--force", "--data", "\(data)//"])
            try restore("\(data)/rollups", ["--force", "--data", data])
            try restore("\(data)/rollups", ["--data", "\(folder)/\(names[1])"])
            try restore("\(folder)/\(names[1])/rollups", ["--data", "\(folder)/\(names[2])"])
            #expect(try Self.files("\(backup)/rollups") == expected)
        }
    }

    @Test func `Nothing is restored into the snapshots themselves`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let rollups = "\(service.data)/rollups"
            let names = try FileManager.default.subpathsOfDirectory(atPath: rollups).sorted()
            for (from, data) in [
                (rollups, rollups), (rollups, "\(rollups)/default/new"),
                (rollups, "\(rollups)/a/b/"),
                ("\(rollups)/default", "\(service.data)/../data/rollups/default"),
            ] {
                let run = try TallyProcess.run(["restore", from, "--force", "--data", data])
                #expect(run.status == 1, "\(run)")
                #expect(run.errors.contains("--data \(data) lies in the snapshots"), "\(run)")
            }
            #expect(
                try FileManager.default.subpathsOfDirectory(atPath: rollups).sorted() == names)
        }
    }

    @Test func `A day that does not add up is refused, and nothing is made`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let rollups = "\(service.data)/rollups"
            let name = try #require(
                Self.files(rollups).keys.sorted().first { $0.hasPrefix("default/2") })
            let path = "\(rollups)/\(name)"
            let whole = try #require(FileManager.default.contents(atPath: path))
            for member in ["events", "tokens"] {
                // The first one is of the whole day.
                try SnapshotReading.forge(path) {
                    $0.replacing("\"\(member)\":", with: "\"\(member)\":9", maxReplacements: 1)
                }
                let data = "\(service.folder)/new"
                let run = try TallyProcess.run(["restore", rollups, "--data", data])
                #expect(run.status == 1 && run.output.isEmpty, "\(run)")
                #expect(run.errors.contains("\(name): \(member) of all "), "\(run)")
                #expect(access(data, F_OK) != 0, "\(member)")
                try whole.write(to: URL(filePath: path))
            }
        }
    }

    @Test func `A folder that cannot be read is no empty one`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let rollups = "\(service.data)/rollups"
            let year = try #require(
                FileManager.default.contentsOfDirectory(atPath: "\(rollups)/default").first {
                    $0.count == 4
                })
            // A name that leads to itself: no user may read that, nor root.
            for place in ["default/\(year)", "default/audit", "default", "zebra"] {
                let (path, aside) = ("\(rollups)/\(place)", "\(folder)/aside")
                let isThere = rename(path, aside) == 0
                #expect(symlink(path, path) == 0)
                defer {
                    unlink(path)
                    if isThere { rename(aside, path) }
                }
                let restored = try TallyProcess.run([
                    "restore", rollups, "--data", "\(folder)/data",
                ])
                let words = "\(path): Too many levels of symbolic links"
                #expect(restored.status == 1 && restored.errors.contains(words), "\(restored)")
                #expect(!restored.output.contains("restored"), "\(restored)")
                let verified = try TallyProcess.run(["verify", "--data", service.data])
                #expect(verified.status != 0, "\(verified)")
                #expect((verified.output + verified.errors).contains(path), "\(verified)")
            }
            #expect(try TallyProcess.run(["verify", "--data", service.data]).status == 0)
        }
    }

    @Test func `Snapshots in a folder that is no workspace's are named by a restore`() async throws
    {
        try await blocking {
            let service = try TallyProcess()
            try Self.makeHistory(service)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let rollups = "\(service.data)/rollups"
            try FileManager.default.copyItem(
                atPath: "\(rollups)/default", toPath: "\(rollups)/Acme")
            // Neither of these holds any.
            mkdir("\(rollups)/Other", 0o700)
            try Data().write(to: URL(filePath: "\(rollups)/notes"))
            let run = try TallyProcess.run(["restore", rollups, "--data", "\(folder)/data"])
            #expect(run.status == 0 && run.output.contains("restored default"), "\(run)")
            #expect(run.errors.contains("\(rollups)/Acme holds snapshots"), "\(run)")
            #expect(!run.errors.contains("Other") && !run.errors.contains("notes"), "\(run)")
        }
    }
}
