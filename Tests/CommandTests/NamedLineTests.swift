// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import TallyCommand

/// Ids that lines get from an import, and what is said where they may not mean what was meant.
@Suite struct NamedLineTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static let line = #"{"subject":"a","meters":{"n":1}}"#

    @Test func `What comes by a pipe needs ids, or a source`() async throws {
        let service = try StandIn()
        let csv = ["--format", "csv", "--columns", "id=id,subject=subject,n=n"]
        let table = "id,subject,n\nx,a,1\n,b,1\n"
        let cases: [(text: String, words: [String])] = [
            (#"{"id":null,"subject":"a","meters":{"n":1}}"# + "\n", []), (Self.line, []),
            (table, csv),
        ]
        for (index, (text, words)) in cases.enumerated() {
            let path = try folder.pipe("p\(index)", Array(text.utf8))
            let refused = await tally(["import", path] + words, service.environment)
            #expect(refused.code == 2 && refused.errors.contains("--source NAME"), "\(refused)")
            #expect(refused.output.contains("counted 0"), "\(refused)")
            let again = try folder.pipe("q\(index)", Array(text.utf8))
            let named = await tally(
                ["import", again, "--source", "s\(index)"] + words, service.environment)
            #expect(named.code == 0 && named.output.contains("failed 0"), "\(named)")
            #expect(named.output.contains("duplicates 0"), "\(named)")
        }
        let own = #"{"id":"own","subject":"a","meters":{"n":1}}"# + "\n"
        let path = try folder.pipe("own", Array(own.utf8))
        let counted = await tally(["import", path], service.environment)
        #expect(counted.code == 0 && counted.errors.isEmpty, "\(counted)")
    }

    @Test func `Lines that a file of the same name has used are told`() async throws {
        let service = try StandIn()
        for (name, text) in [("a", Self.line), ("b", Self.line + "\n" + Self.line)] {
            try FileManager.default.createDirectory(
                atPath: "\(folder.path)/\(name)", withIntermediateDirectories: false)
            let file = try folder.file("\(name)/e.ndjson", text + "\n")
            let outcome = await tally(["import", file], service.environment)
            #expect(outcome.code == 0 && outcome.output.contains(", counted 1, "), "\(outcome)")
            #expect(outcome.errors.isEmpty == (name == "a"), "\(outcome)")
            if name == "b" {
                #expect(outcome.errors.contains("1 line was counted before"), "\(outcome)")
                #expect(outcome.errors.contains("another --source NAME"), "\(outcome)")
            }
        }
        let other = try folder.file("b/e.ndjson", #"{"subject":"b","meters":{"n":1}}"# + "\n")
        let conflict = await tally(["import", other], service.environment)
        #expect(conflict.code == 1 && conflict.errors.contains("1 line was counted before"))
        // Ids of their own say what they are.
        let own = #"{"id":"own","subject":"a","meters":{"n":1}}"# + "\n"
        let file = try folder.file("own.ndjson", own + own)
        let repeated = await tally(["import", file], service.environment)
        #expect(repeated.output.contains("duplicates 1") && repeated.errors.isEmpty)
    }

    @Test func `A last row without a line break is told`() async throws {
        let service = try StandIn()
        let words = ["--columns", "subject=who,n=n"]
        for (index, (rows, isOpen)) in [
            ("ann,7\ncarl,12", true), ("ann,7\ncarl,1234\n", false), ("ann,7\r\ncarl,1\r", false),
            // Not counted: it fails, and comes again when it is whole.
            ("ann,7\ncarl", false), ("", false),
        ].enumerated() {
            let file = try folder.file("e\(index).csv", "who,n\n" + rows)
            let outcome = await tally(["import", file] + words, service.environment)
            #expect(outcome.errors.contains("has no line break") == isOpen, "\(outcome)")
            if isOpen { #expect(outcome.errors.contains("line 3,") && outcome.code == 0) }
        }
    }

    @Test func `Credits and costs are no meters`() async throws {
        let words = ["record", "a", "tokens=1", "credits=0.25", "api_cost=3"]
        var arguments = Arguments(Array(words.dropFirst()), RecordVerb.options)
        let event = try RecordVerb.read(&arguments, [:]).event
        #expect(
            event.json.hasSuffix(
                #""subject":"a","credits":"0.25","api_cost":"3","meters":{"tokens":1}}"#))
        arguments = Arguments(["a", "credits=5"], RecordVerb.options)
        let alone = try RecordVerb.read(&arguments, [:]).event
        #expect(alone.json.hasSuffix(#""subject":"a","credits":"5"}"#), "\(alone.json)")
        for (word, part) in [("credits=x", "credits=x"), ("credits=1 credits=2", "given twice")] {
            let outcome = await tally(
                ["record", "a"] + word.split(separator: " ").map(String.init))
            #expect(outcome.code == 2 && outcome.errors.contains(part), "\(outcome)")
        }
        let items = try folder.items(
            "e.csv", "who,c,k,n\na,1.5,,2\na,x,,\na,,007.1,\n",
            ["--columns", "subject=who,credits=c,api_cost=k,n=n"])
        #expect(
            items.map(\.result) == [
                .event(#"{"id":"e.csv:2","subject":"a","credits":"1.5","meters":{"n":2}}"#),
                .bad("credits is \"x\", which is no decimal"),
                .event(#"{"id":"e.csv:4","subject":"a","api_cost":"007.1"}"#),
            ])
    }
}
