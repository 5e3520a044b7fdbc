// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import TallyCommand

@Suite struct ExportTests {
    /// What the stand-in sends behind the first line.
    static let bodyCount = 50 * 60_002

    @Test func `An export goes to standard output as it comes`() async throws {
        let service = try StandIn()
        let outcome = await tally(
            [
                "export", "events", "--format", "ndjson", "--subject", "a b&=+é",
                "--min-credits=1.5",
                "--from", "2026-11-21T10:00:00+07:00",
            ], service.environment)
        #expect(outcome.code == 0, "\(outcome.errors)")
        let path =
            "/v1/export/events?format=ndjson&subject=a%20b%26%3D%2B%C3%A9&min_credits=1.5"
            + "&from=2026-11-21T10%3A00%3A00%2B07%3A00\r\n"
        #expect(outcome.output.hasPrefix(path))
        #expect(outcome.output.utf8.count == path.utf8.count + Self.bodyCount)
        let acts = await tally(
            ["export", "audit", "--actor", "key:1", "--action", "PUT /v1/prices"],
            service.environment)
        #expect(
            acts.output.hasPrefix(
                "/v1/export/audit?format=csv&actor=key%3A1&action=PUT%20%2Fv1%2Fprices\r\n"))
    }

    @Test func `A file is there when it is whole, and not before`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let file = try folder.file("out.csv", "old")
        let broken = await tally(
            ["export", "events", "--output", file, "--subject", "broken"], service.environment)
        #expect(broken.code == 69)
        #expect(broken.errors.contains("not whole"), "\(broken.errors)")
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "old")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.csv"])
        #expect(await tally(["record", "make-busy", "n=1"], service.environment).code == 0)
        let link = folder.path + "/link"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
        let whole = await tally(["export", "balances", "--output", link], service.environment)
        #expect(whole.code == 0, "\(whole.errors)")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        #expect(text.hasPrefix("/v1/export/balances?format=csv\r\n"))
        #expect(whole.output == "wrote \(link), \(text.utf8.count) bytes\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 2)
    }

    @Test func `A file that cannot be written is named`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/none/out.csv"
        let outcome = await tally(["export", "events", "--output", path], service.environment)
        #expect(outcome.code == 74)
        #expect(outcome.errors == "tally: \(path): No such file or directory\n")
    }

    @Test func `What is written has no name until it is whole, so that a kill leaves nothing`()
        throws
    {
        let folder = try TemporaryFolder()
        let path = try folder.file("out.csv", "old")
        for isWhole in [false, true] {
            var file: OutputFile? = try OutputFile(path: path)
            try Array("new".utf8).withUnsafeBytes { try file?.append($0) }
            // On every file system that Debian puts a temporary folder on.
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.csv"])
            if isWhole { try file?.commit() }
            file = nil
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.csv"])
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text == (isWhole ? "new" : "old"))
        }
    }

    @Test func `To standard output what is not whole fails too`() async throws {
        let service = try StandIn()
        let outcome = await tally(["export", "events", "--subject=broken"], service.environment)
        #expect(outcome.code == 69)
        #expect(outcome.output.utf8.count > Self.bodyCount)
    }

    @Test func `What the service refuses leaves no file`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let outcome = await tally(
            ["export", "events", "--subject=nobody", "--output", folder.path + "/x"],
            service.environment)
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("Unprocessable: no such thing"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
        // What is not there is not asked for again, as a service that is busy is.
        let early = await tally(["export", "events", "--subject=early"], service.environment)
        #expect(early.code == 1)
        #expect(early.errors.contains("kept for 2 hours"), "\(early.errors)")
        let gone = await tally(["export", "events", "--url", "http://127.0.0.1:1"])
        #expect(gone.code == 69)
        let full = await tally(
            ["export", "events", "--output", folder.path + "/none/x"], service.environment)
        #expect(full.code == 74)
        for name in [folder.path, "/dev/null"] {
            let other = await tally(["export", "events", "--output", name], service.environment)
            #expect(other.code == 2)
            #expect(other.errors.contains("is no file"))
        }
    }

    @Test func `A file that is replaced keeps who may read it`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        func mode(_ file: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        }
        for (file, expected) in [
            (try folder.file("open.csv", "old", mode: 0o644), 0o644),
            (try folder.file("group.csv", "old", mode: 0o640), 0o640),
            ("\(folder.path)/new.csv", 0o600),
        ] {
            let outcome = await tally(["export", "events", "--output", file], service.environment)
            #expect(outcome.code == 0, "\(outcome.errors)")
            #expect(try mode(file) == expected)
        }
    }

    @Test func `What is no export is not written`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let file = try folder.file("out.csv", "old")
        for words in [["--output", file], ["--output", folder.path + "/new"], []] {
            let outcome = await tally(
                ["export", "events", "--subject=visitor"] + words, service.environment)
            #expect(outcome.code == 1)
            #expect(outcome.output == "")
            #expect(
                outcome.errors.contains(
                    "(text/html; charset=utf-8, not text/csv) is none of Tally's"),
                "\(outcome.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.csv"])
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "old")
        }
    }

    @Test func `Behind a link is the file that is made or replaced, and the link stays`()
        async throws
    {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let links = FileManager.default
        func link(_ name: String, to place: String) throws -> String {
            try links.createSymbolicLink(
                atPath: "\(folder.path)/\(name)", withDestinationPath: place)
            return "\(folder.path)/\(name)"
        }
        try links.createDirectory(
            atPath: folder.path + "/folder", withIntermediateDirectories: false)
        _ = try folder.file("folder/there", "old")
        let ways = [
            (try link("one", to: "folder/there"), "there"),
            (try link("two", to: folder.path + "/folder/new"), "new"),
            (try link("three", to: "four"), "newer"),
            (try link("four", to: "folder/newer"), "newer"),
        ]
        for (way, name) in ways {
            let outcome = await tally(["export", "balances", "--output", way], service.environment)
            #expect(outcome.code == 0, "\(outcome.errors)")
            #expect(outcome.output.hasPrefix("wrote \(way), "))
            let file = "\(folder.path)/folder/\(name)"
            #expect(try String(contentsOfFile: file, encoding: .utf8).hasPrefix("/v1/export/"))
            #expect(
                try links.attributesOfItem(atPath: file)[.type] as? FileAttributeType
                    == .typeRegular)
            #expect((try? links.destinationOfSymbolicLink(atPath: way)) != nil)
        }
        for (way, problem) in [
            (try link("round", to: "round"), "Too many levels of symbolic links"),
            (try link("nowhere", to: "none/x"), "No such file or directory"),
        ] {
            let outcome = await tally(["export", "balances", "--output", way], service.environment)
            #expect(outcome.code == 74)
            #expect(outcome.errors == "tally: \(way): \(problem)\n")
        }
        #expect(try links.contentsOfDirectory(atPath: folder.path).count == 7)
        #expect(try links.contentsOfDirectory(atPath: folder.path + "/folder").count == 3)
    }

    @Test(arguments: [
        (["export"], "what? tally export"), (["export", "event"], "did you mean events?"),
        (["export", "events", "balances"], "\"balances\" is too many"),
        (["export", "events", "--format", "xml"], "--format is"),
        (["export", "leaderboard"], "needs --meter"),
        (["export", "events", "--output", ""], "--output is"),
    ])
    func `A mistake on the command line is explained`(words: [String], part: String) async {
        let outcome = await tally(words)
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
    }

    @Test func `A reader that goes away ends the export quietly`() async throws {
        let service = try StandIn()
        let console = Console(
            print: { _ in }, complain: { Issue.record("a complaint: \($0)") }, showsProgress: false,
            send: { _ in throw OutputClosed() })
        let code = await TallyCommand.run(["export", "events"], service.environment, console) {
            _, _ in 1
        }
        #expect(code == 0)
    }
}
