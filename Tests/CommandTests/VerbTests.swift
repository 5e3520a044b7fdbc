// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import TallyCommand

@Suite struct VerbTests {
    @Test func `Recorded usage shows in the totals and on the board`() async throws {
        let service = try StandIn()
        let environment = service.environment
        let first = await tally(
            ["record", "ali", "tokens=100", "output_tokens=5", "--id", "e1"], environment)
        #expect(first.code == 0, "\(first.errors)")
        #expect(first.output == "e1 counted\noutput_tokens 5\ntokens 100\n")
        let second = await tally(["record", "ali", "tokens=100", "--id=e1"], environment)
        #expect(second.output.hasPrefix("e1 counted before\n"))
        let dashed = await tally(
            ["record", "--", "-x\u{1b}[31m\u{9b}", "tokens=2000"], environment)
        #expect(dashed.code == 0, "\(dashed.errors)")
        let top = await tally(["top", "tokens", "--window", "1d"], environment)
        #expect(
            top.output == """
                rank  subject             tokens
                   1  -x\\u{1b}[31m\\u{9b}    2000
                   2  ali                    100

                """)
        let json = await tally(["top", "tokens", "--json"], environment)
        #expect(
            json.output == #"{"meter":"tokens","window":"lifetime","entries":[{"rank":1,"#
                + #""subject":"-x\u001b[31m\u009b","value":2000},{"rank":2,"subject":"ali","#
                + #""value":100}]}"# + "\n")
    }

    @Test func `A busy service is asked again, and nothing is counted twice`() async throws {
        let service = try StandIn()
        #expect(await tally(["record", "make-busy", "tokens=1"], service.environment).code == 0)
        let outcome = await tally(["record", "a", "tokens=1", "--id=x"], service.environment)
        #expect(outcome.output == "x counted\ntokens 1\n")
    }

    @Test func `A lost answer is asked for again, and nothing is counted twice`() async throws {
        let service = try StandIn()
        let words = ["record", "a", "tokens=1"]
        let own = await tally(words + ["--action", "lose-2"], service.environment)
        #expect(own.code == 0 && own.output.contains(" counted before\ntokens 1\n"), "\(own)")
        // Given up: nobody knows whether it was counted, and the id says how to find out.
        let lost = await tally(words + ["--action", "lose-3"], service.environment)
        #expect(lost.code == 69 && !lost.errors.contains("tally serve"), "\(lost)")
        #expect(lost.errors.contains("not known whether"), "\(lost)")
        let id = try #require(lost.errors.firstMatch(of: /--id ([0-9a-f-]{36}),/)).1
        let again = await tally(words + ["--id", String(id)], service.environment)
        #expect(again.output == "\(id) counted before\ntokens 2\n")
        let odd = await tally(
            words + ["--id", "it's", "--action", "lose-3"], service.environment)
        #expect(odd.errors.contains(#"--id 'it'\''s',"#), "\(odd)")
        // Where nothing was sent, nothing was counted.
        let none = await tally(words + ["--url", "http://127.0.0.1:1"])
        #expect(none.code == 69 && none.errors.contains("tally serve"), "\(none)")
        #expect(!none.errors.contains("--id"))
    }

    @Test func `An import can be repeated, and tells what failed`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let rows = (1...250).map { "2023-11-16 18:15:46.68,\($0),1" }.joined(separator: "\r\n")
        let file = try folder.file("t.csv", "Time,In,Out\r\n\(rows)\r\nbad,1,1")
        let words = [
            "import", file, "--columns", "time=Time,input_tokens=In,output_tokens=Out",
            "--subject-spread", "20:42", "--batch", "100",
        ]
        let first = await tally(words, service.environment)
        #expect(first.code == 1)
        #expect(first.output.hasPrefix("read 251, counted 250, duplicates 0, failed 1 ("))
        #expect(first.errors == "line 252: \"bad\" is no time\n")
        let second = await tally(words, service.environment)
        #expect(second.output.hasPrefix("read 251, counted 0, duplicates 250, failed 1 ("))
        let top = await tally(["top", "input_tokens", "--json"], service.environment)
        let board = try JSONDecoder().decode(TopVerb.Board.self, from: Data(top.output.utf8))
        #expect(board.entries.reduce(0) { $0 + $1.value } == 250 * 251 / 2)
    }

    @Test func `Profiles are imported from tables and lines`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let table = try folder.file(
            "p.csv",
            "id,email,active,full_name\r\na,A@x.org,no,\"L\u{e4}n, \"\"A\"\"\"\r\nb,,,\r\n,x@x.org,1,\r\n"
        )
        let words = ["import-subjects", table, "--batch", "2"]
        let first = await tally(words, service.environment)
        #expect(first.code == 1)
        #expect(first.output == "read 3, created 2, updated 0, unchanged 0, failed 1\n")
        #expect(first.errors == "line 4: id: it is missing\n")
        let lines = try folder.file(
            "p.ndjson",
            #"{"id":"a","email":"A@x.org","active":false,"full_name":"L\u00e4n, \"A\""}"# + "\n")
        let second = await tally(["import-subjects", lines], service.environment)
        #expect(second.code == 0, "\(second.errors)")
        #expect(second.output == "read 1, created 0, updated 0, unchanged 1, failed 0\n")
        let none = try folder.file("n.csv", "name\nx\n")
        #expect(await tally(["import-subjects", none], service.environment).code == 66)
        #expect(await tally(["import-subjects"]).code == 2)
    }

    @Test func `What the service refuses fails with its reason`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let file = try folder.file("e.ndjson", "{\"subject\":\"a\",\"meters\":{\"n\":1}}\n{}")
        let imported = await tally(["import", file], service.environment)
        #expect(imported.code == 1)
        #expect(imported.errors == "line 2: subject or meters is missing\n")
        var environment = service.environment
        environment["TALLY_KEY"] = "tly_another-key-01234"
        let refused = await tally(["top", "tokens"], environment)
        #expect(refused.code == 1)
        #expect(refused.errors.contains("set TALLY_KEY"))
    }

    @Test func `The key of the data folder is used`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        _ = try folder.file("admin.key", StandIn.key + "\n")
        let url = try #require(service.environment["TALLY_URL"])
        let outcome = await tally(["top", "tokens", "--url", url, "--data", folder.path])
        #expect(outcome.code == 0, "\(outcome.errors)")
    }

    @Test(arguments: [
        ["record", "a", "n=1"], ["top", "tokens"], ["export", "events"], ["import", "FILE"],
        ["import-subjects", "PEOPLE"],
    ])
    func `Each verb takes a key and a workspace`(verb: [String]) async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let file = try folder.file("e.ndjson", #"{"subject":"a","meters":{"n":1}}"#)
        let people = try folder.file("p.ndjson", #"{"id":"a"}"#)
        let words = verb.map { $0 == "FILE" ? file : $0 == "PEOPLE" ? people : $0 }
        let url = try #require(service.environment["TALLY_URL"])
        func run(_ more: [String], _ environment: [String: String] = [:]) async -> Outcome {
            await tally(words + ["--url", url, "--data", folder.path] + more, environment)
        }
        // The flag outranks the variable.
        let flagged = await run(["--key", StandIn.key], ["TALLY_KEY": "tly_another-key-01234"])
        #expect(flagged.code == 0, "\(flagged.errors)")
        #expect(await run(["--key", "tly_another-key-01234"]).code == 1)
        let inBeta = await run(["--key", StandIn.key, "--workspace", "beta"])
        #expect(inBeta.code == 0, "\(inBeta.errors)")
        if verb[0] == "export" { #expect(inBeta.output.contains("format=csvbeta\r\n")) }
        #expect(await run([], ["TALLY_KEY": StandIn.key, "TALLY_WORKSPACE": "beta"]).code == 0)
        #expect(await run(["--key", StandIn.ownKey, "--workspace", "acme"]).code == 0)
        // A key of one workspace is for no other, and nothing is sent there.
        let wrong = await run(["--key", StandIn.ownKey, "--workspace", "beta"])
        #expect(wrong.code == 1 && wrong.errors.contains("of the workspace acme, not beta"))
        #expect(wrong.output.isEmpty)
        let none = await run(["--key", StandIn.key, "--workspace", "nowhere"])
        #expect(none.code == 1 && none.errors.contains("no such workspace"), "\(none.errors)")
        #expect(await run(["--key", StandIn.key, "--workspace", "No/where"]).code == 2)
        #expect(!(await run(["--key", "sec ret"])).errors.contains("sec ret"))
        let help = await tally([verb[0], "--help"])
        #expect(help.output.contains("--key KEY") && help.output.contains("--workspace ID"))
    }

    @Test func `A service that cannot be reached is told`() async {
        let outcome = await tally(["top", "tokens", "--url", "http://127.0.0.1:1"])
        #expect(outcome.code == 69)
        #expect(outcome.errors.contains("tally serve"))
    }

    /// The system would go on for two minutes, and call it something else.
    @Test func `A service that takes no connection is given up by curl, whose limit is 1500 ms`()
        async throws
    {
        let silent = try SilentPort()
        let outcome = await tally(["top", "tokens", "--url", "http://127.0.0.1:\(silent.port)"])
        #expect(outcome.code == 69)
        #expect(outcome.errors.contains("(Timeout was reached)"), "\(outcome.errors)")
    }

    @Test(arguments: [
        (["sevre"], "unknown verb sevre (did you mean serve?)"), (["--verison"], "unknown option"),
        (["top", "tokens", "--limt", "3"], "--limt (did you mean --limit?)"),
        (["top"], "which meter?"), (["top", "a/b"], "which meter?"),
        (["top", "a", "b"], "\"b\" is too many"),
        (["top", "a", "--limit"], "--limit needs a value"),
        (["top", "a", "--limit=0"], "--limit is"),
        (["top", "a", "--window", "1d&x=1"], "--window is"),
        (["top", "a", "--json", "--json"], "--json is given twice"),
        (["record"], "which subject?"), (["record", "-a", "n=1"], "write -- before"),
        (["record", "a"], "how much of what?"), (["record", "a", "n"], "must be METER=N"),
        (["record", "a", "n=-1"], "must be METER=N"), (["record", "a", "n=1", "n=2"], "twice"),
        (["record", "a", "n=99999999999999999999"], "must be METER=N"),
        (["record", "a", "n=1", "--time", "noon"], "--time is \"noon\""),
        (["import"], "which file?"), (["import", "a.csv"], "needs --columns"),
        (["import", "a", "--batch=10001"], "--batch is"),
        (["import", "a", "--subject-spread=0:1"], "--subject-spread is"),
        (["import", "a b"], "choose a --source"), (["serve", "x"], "takes options only"),
        (["top", "a", "--url", "ftp://x"], "--url is"), (["top", "a\u{1b}[2J"], "which meter?"),
    ])
    func `A mistake on the command line is explained`(words: [String], part: String) async {
        let outcome = await tally(words)
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
        #expect(outcome.errors.contains("--help"))
        #expect(outcome.output.isEmpty)
        #expect(!outcome.errors.contains("\u{1b}"))
    }

    @Test func `A file that is not there, or is a folder, is no input`() async throws {
        let folder = try TemporaryFolder()
        #expect(await tally(["import", folder.path]).code == 66)
        #expect(await tally(["import", folder.path + "/none"]).code == 66)
    }

    @Test(arguments: [
        "serve", "record", "top", "import", "import-subjects", "export", "verify", "restore",
    ])
    func `The help of a verb names all its options`(verb: String) async {
        let help = await tally([verb, "--help"])
        #expect(help.code == 0)
        #expect(help.output.contains("Usage: tally \(verb)"))
        #expect(help.output.split(separator: "\n").allSatisfy { $0.count <= 132 })
        if verb == "serve" {
            for option in ServiceConfiguration.options {
                let name = option.sources.contains(.flag) ? option.flag : option.variable
                #expect(help.output.contains("  \(name)"))
            }
            #expect(!help.output.contains("--admin-key"))
        }
    }

    @Test func `Snapshots to verify against have to be there`() async throws {
        let folder = try TemporaryFolder()
        let words = ["verify", "--redis", "redis://127.0.0.1:1", "--snapshots"]
        #expect(await tally(words + [folder.path]).code == 0)
        for path in ["/nonexistent/x", folder.path + "/none", "/etc/passwd"] {
            let outcome = await tally(words + [path])
            #expect(outcome.code == 2 && outcome.output.isEmpty)
            #expect(outcome.errors.contains("--snapshots \(path): "), "\(outcome.errors)")
        }
    }

    @Test func `Version and overview go to standard output`() async {
        #expect(await tally(["--version"]).output == "tally 0.1.0\n")
        #expect(await tally(["--help"]).output.contains("tally import"))
        #expect(await tally([]).code == 2)
    }

    @Test func `A reader that goes away ends the command quietly`() async {
        let console = Console(
            print: { _ in throw OutputClosed() }, complain: { _ in Issue.record("a complaint") },
            showsProgress: false)
        #expect(await TallyCommand.run(["--help"], [:], console) { _, _ in 1 } == 0)
    }

    @Test func `What went wrong is told whether or not anybody reads the output`() async throws {
        let service = try StandIn()
        let folder = try TemporaryFolder()
        let files = [
            "import": try folder.file("e.ndjson", "{}\n"),
            "import-subjects": try folder.file("p.ndjson", "{}\n"),
        ]
        for (verb, file) in files {
            let failed = await tally([verb, file], service.environment, isRead: false)
            #expect(failed.code == 1 && failed.errors.contains("line 1: "), "\(failed)")
            let url = ["--url", "http://127.0.0.1:1"]
            let stopped = await tally([verb, file] + url, service.environment, isRead: false)
            #expect(stopped.code == 69, "\(stopped)")
            #expect(stopped.errors.contains("stopped") && stopped.errors.contains("no service"))
        }
        let words = ["verify", "--redis", "redis://127.0.0.1:1", "--snapshots", folder.path]
        let verified = await tally(words, isRead: false) { _, console in
            console.begin("default")
            console.print("default: one")
            console.print("default: another")
        }
        #expect(verified.code == 1, "\(verified)")
        #expect(verified.errors == "2 differences: 2 in default\n")
    }
}
