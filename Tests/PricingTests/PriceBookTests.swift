// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@testable import Metering

@Suite struct PriceBookTests {
    @Test(arguments: [
        ("gpt-4o", 1), ("gpt-4o-mini", 2), ("gpt-4o-mini-2026", 2), ("gpt-4", 3), ("gpt-5", 3),
        ("gpt-", 3), ("gpt", 9), ("claude", 9), ("Gpt-4o", 9), ("gpt-4o*", 4), ("gpt-4o-", 4),
        ("gpt-*", 3), ("exact", 5), ("exactly", 9), ("", 9), ("é-1", 6), ("\u{c3}", 9),
    ])
    func `A model has the prices of its name, else of the longest pattern`(
        model: String, expected: Int
    ) throws {
        let book = try book(
            #"""
            {"models":{"gpt-4o":{"input":"1"},"gpt-4o-mini*":{"input":"2"},"gpt-*":{"input":"3"},
            "gpt-4o*":{"input":"4"},"exact":{"input":"5"},"é*":{"input":"6"}},
            "default":{"input":"9"}}
            """#)
        #expect(book.prices(of: ByteString(model))?.input == expected * 1_000_000)
    }

    @Test func `A lone star stands before the default and fits no model, too`() throws {
        let star = try book(#"{"models":{"*":{"input":1},"m":{"input":2}},"default":{"input":3}}"#)
        #expect(star.prices(of: .empty)?.input == 1_000_000)
        #expect(star.prices(of: ByteString("n"))?.input == 1_000_000)
        #expect(star.prices(of: ByteString("*"))?.input == 1_000_000)
        #expect(star.prices(of: ByteString("m"))?.input == 2_000_000)
        let plain = try book(#"{"models":{"m":{"input":2},"a*":{}}}"#)
        #expect(plain.prices(of: ByteString("m"))?.input == 2_000_000)
        #expect(plain.prices(of: ByteString("a")) == ModelPrices())
        #expect(plain.prices(of: ByteString("n")) == nil && plain.prices(of: .empty) == nil)
        #expect(PriceBook.empty.prices(of: ByteString("m")) == nil)
    }

    @Test func `Random names find what a search through all patterns finds`() throws {
        func name(_ longest: Int) -> String {
            String((0..<Int.random(in: 0...longest)).compactMap { _ in "ab".randomElement() })
        }
        var found = 0
        for _ in 0..<500 {
            var models: [ByteString: ModelPrices] = [:]
            for place in 0..<Int.random(in: 0...20) {
                let text = name(6) + (Bool.random() ? "*" : "")
                if !text.isEmpty { models[ByteString(text)] = ModelPrices(input: place) }
            }
            let book = PriceBook(models: models)
            for _ in 0..<40 {
                let model = name(8)
                let patterns = (0...model.count).map { ByteString(model.prefix($0) + "*") }
                let expected =
                    models[ByteString(model)] ?? patterns.reversed().compactMap { models[$0] }.first
                #expect(book.prices(of: ByteString(model)) == expected, "\(model): \(models)")
                found += expected == nil ? 0 : 1
            }
        }
        #expect((2_000...19_000).contains(found), "\(found)")
    }

    @Test func `A book is written in one way and reads back equal`() throws {
        let read = try book(
            #"""
            {"models":{"b":{"output":10,"cached_write":0.000001},"gpt-4o*":{"input":"2.50",
            "output":"10","cached_read":"1.25","cached_write":"0"},"a\"\\é":{}},
            "credit_rate":1e1,"per_message":0.0050}
            """#)
        let text = #"""
            {"per_message":"0.005","credit_rate":"10","models":{
            "a\"\\é":{"input":"0","output":"0","cached_read":"0","cached_write":"0"},
            "b":{"input":"0","output":"10","cached_read":"0","cached_write":"0.000001"},
            "gpt-4o*":{"input":"2.5","output":"10","cached_read":"1.25","cached_write":"0"}}}
            """#.replacing("\n", with: "")
        #expect(read.perMessage == 5_000 && read.creditRate == 10_000_000)
        #expect(canonical(read) == text)
        #expect(try book(text) == read)
    }

    @Test func `Random books read back equal`() throws {
        func prices() -> ModelPrices {
            ModelPrices(
                input: randomAmount(), output: randomAmount(), cachedRead: randomAmount(),
                cachedWrite: randomAmount())
        }
        for _ in 0..<300 {
            var models: [ByteString: ModelPrices] = [:]
            for _ in 0..<Int.random(in: 0...20) {
                let name = (0..<Int.random(in: 1...30)).compactMap { _ in "aé\"\\/😀".randomElement()
                }
                models[ByteString(String(name) + (Bool.random() ? "*" : ""))] = prices()
            }
            let book = PriceBook(
                perMessage: randomAmount(), creditRate: randomAmount(),
                defaultPrices: Bool.random() ? prices() : nil, models: models)
            let text = canonical(book)
            let read = try PriceBook(json(text))
            #expect(read == book && canonical(read) == text)
        }
    }

    @Test func `A book of nothing is the empty book`() throws {
        for text in [
            "{}", #"{"per_message":0}"#, #"{"credit_rate":"0.0","models":{}}"#,
            canonical(.empty),
        ] {
            let read = try book(text)
            #expect(read == .empty && read.isEmpty)
        }
        #expect(canonical(.empty) == #"{"per_message":"0","credit_rate":"0","models":{}}"#)
        for text in [
            #"{"per_message":1}"#, #"{"credit_rate":1}"#, #"{"default":{}}"#,
            #"{"models":{"m":{}}}"#,
        ] {
            #expect(try !book(text).isEmpty)
        }
    }

    @Test(arguments: [
        ("[]", "422 wrong_type "), ("null", "422 wrong_type "), ("1", "422 wrong_type "),
        (#"{"x":1}"#, "400 unknown_field x"), (#"{"x":null}"#, "400 unknown_field x"),
        (#"{"Per_message":1}"#, "400 unknown_field Per_message"),
        (#"{"per_message":1,"per_message":1}"#, "duplicate_key"),
        (#"{"models":{"m":{},"m":{}}}"#, "duplicate_key"),
        (#"{"per_message":null}"#, "422 field_required per_message"),
        (#"{"per_message":true}"#, "422 wrong_type per_message"),
        (#"{"per_message":-1}"#, "422 out_of_range per_message"),
        (#"{"per_message":"0.0000001"}"#, "422 too_precise per_message"),
        (#"{"per_message":"1 EUR"}"#, "422 malformed_number per_message"),
        (#"{"credit_rate":[]}"#, "422 wrong_type credit_rate"),
        (#"{"credit_rate":"-0"}"#, "422 out_of_range credit_rate"),
        (#"{"credit_rate":1e10}"#, "422 out_of_range credit_rate"),
        (#"{"default":null}"#, "422 field_required default"),
        (#"{"default":1}"#, "422 wrong_type default"),
        (#"{"default":{"x":1}}"#, "400 unknown_field default.x"),
        (#"{"default":{"output":1e-7}}"#, "422 too_precise default.output"),
        (#"{"default":{"cached_read":{}}}"#, "422 wrong_type default.cached_read"),
        (#"{"models":null}"#, "422 field_required models"),
        (#"{"models":[]}"#, "422 wrong_type models"),
        (#"{"models":{"m":null}}"#, "422 field_required models.m"),
        (#"{"models":{"m":"1"}}"#, "422 wrong_type models.m"),
        (#"{"models":{"m*":{"input":""}}}"#, "422 malformed_number models.m*.input"),
        (#"{"models":{"m":{"cached_write":null}}}"#, "422 field_required models.m.cached_write"),
        (#"{"models":{"m":{"Input":1}}}"#, "400 unknown_field models.m.Input"),
        (#"{"models":{"":{}}}"#, "422 invalid_model models."),
        (#"{"models":{"a*b":{}}}"#, "422 invalid_model models.a*b"),
        (#"{"models":{"*a":{}}}"#, "422 invalid_model models.*a"),
        (#"{"models":{"**":{}}}"#, "422 invalid_model models.**"),
        (#"{"models":{"a\tb":{}}}"#, "422 invalid_model models.a\tb"),
        (#"{"models":{"*":{},"é*":{},"a b":{}}}"#, "accepted"),
    ])
    func `A malformed book is refused with the place of the fault`(
        text: String, expected: String
    ) throws {
        #expect(try refusal { _ = try book(text) } == expected)
    }

    @Test func `Models are limited in number and length`() throws {
        func models(_ count: Int) -> String {
            let models = (0..<count).map { #""m\#($0)*":{"input":\#($0)}"# }
            return #"{"models":{\#(models.joined(separator: ","))}}"#
        }
        let full = try book(models(1_000))
        #expect(full.prices(of: ByteString("m999-x"))?.input == 999_000_000)
        #expect(try book(canonical(full)) == full)
        #expect(try refusal { _ = try book(models(1_001)) } == "422 too_many_models models")
        for (name, isAllowed) in [
            (String(repeating: "a", count: 128), true), (String(repeating: "a", count: 129), false),
            (String(repeating: "é", count: 64), true),
            (String(repeating: "é", count: 64) + "*", false),
            (String(repeating: "a", count: 127) + "*", true),
        ] {
            let outcome = try refusal { _ = try book(#"{"models":{"\#(name)":{}}}"#) }
            #expect((outcome == "accepted") == isAllowed)
            #expect(isAllowed || outcome.hasPrefix("422 invalid_model models."))
            #expect(outcome.utf8.count < 200)
        }
    }
}
