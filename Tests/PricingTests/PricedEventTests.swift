// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Metering

@Suite struct PricedEventTests {
    static let cheap = PriceBook(
        perMessage: 5_000, creditRate: 10_000_000, defaultPrices: ModelPrices(input: 2_500_000))
    static let dear = PriceBook(
        perMessage: 7_000, creditRate: 20_000_000, defaultPrices: ModelPrices(input: 5_000_000))

    private static func event(_ members: String) throws -> UsageEvent {
        try decode(#"{"subject":"u",\#(members)}"#)
    }

    private static let plain = #""meters":{"input_tokens":1000,"messages":1,"zeta":3}"#

    private static func text(_ event: UsageEvent) -> String {
        event.amounts.map { "\($0.name) \($1)" }.joined(separator: ", ")
    }

    @Test func `A cost, and the credits for it, are added in the order of meters`() throws {
        let priced = try Self.event(Self.plain).priced(by: Self.cheap)
        #expect(
            Self.text(priced)
                == "input_tokens 1000, tokens 1000, messages 1, credits_micro 75000, "
                + "cost_micro 7500, zeta 3")
        #expect(priced.derived == [.cost, .credits])
    }

    @Test(arguments: [
        (#""api_cost":"0.01""#, 100_000, 10_000, DerivedAmounts.credits),
        (#""api_cost":0"#, 0, 0, DerivedAmounts.credits),
        (#""credits":"1.5""#, 1_500_000, 7_500, DerivedAmounts.cost),
        (#""credits":0,"api_cost":"3""#, 0, 3_000_000, DerivedAmounts()),
    ])
    func `What an event brings itself stands`(
        member: String, credits: Int, cost: Int, derived: DerivedAmounts
    ) throws {
        let event = try Self.event("\(Self.plain),\(member)").priced(by: Self.cheap)
        #expect(event.amounts.amount(of: .creditsMicro) == credits)
        #expect(event.amounts.amount(of: .costMicro) == cost)
        #expect(event.derived == derived)
        #expect(event.amounts.map(\.0) == event.amounts.map(\.0).sorted(by: Meter.precedes))
    }

    @Test func `Amounts given as meters stand as well`() throws {
        let event = try Self.event(#""meters":{"messages":1,"cost_micro":3,"credits_micro":4}"#)
        let priced = try event.priced(by: Self.cheap)
        #expect(Self.text(priced) == Self.text(event) && priced.derived.isEmpty)
    }

    @Test func `Without a rate there are no credits, without a price no cost`() throws {
        let plain = try Self.event(Self.plain)
        let costOnly = try plain.priced(by: PriceBook(perMessage: 5_000))
        #expect(costOnly.amounts.amount(of: .creditsMicro) == nil && costOnly.derived == .cost)
        let rate = PriceBook(creditRate: 10_000_000)
        #expect(try plain.priced(by: rate).amounts.count == plain.amounts.count)
        let paid = try Self.event(#""api_cost":"0.5""#).priced(by: rate)
        #expect(Self.text(paid) == "credits_micro 5000000, cost_micro 500000")
        #expect(paid.derived == .credits)
    }

    @Test func `Pricing again replaces what was computed, and only that`() throws {
        for member in [#""id":"a""#, #""api_cost":1"#, #""credits":"2""#] {
            let event = try Self.event("\(Self.plain),\(member)")
            let cheap = try event.priced(by: Self.cheap)
            let dear = try event.priced(by: Self.dear)
            let again = try cheap.priced(by: Self.dear)
            #expect(Self.text(again) == Self.text(dear) && again.derived == dear.derived)
            #expect(Self.text(cheap) != Self.text(dear))
            #expect(try Self.text(again.priced(by: Self.dear)) == Self.text(dear))
            let without = try again.priced(by: .empty)
            #expect(Self.text(without) == Self.text(event) && without.derived.isEmpty)
        }
    }

    @Test func `An empty book leaves an event where it is`() throws {
        let event = try Self.event("\(Self.plain),\"api_cost\":1")
        let priced = try event.priced(by: .empty)
        let places = [event, priced].map { event in
            event.amounts.withUnsafeBufferPointer { $0.baseAddress }
        }
        #expect(places[0] == places[1] && places[0] != nil)
    }

    @Test func `What passes the largest amount refuses the event`() throws {
        func refused(_ members: String, _ book: PriceBook) throws -> String {
            try refusal { _ = try Self.event(members).priced(by: book) }
        }
        let messages = #""meters":{"messages":9007199254740991}"#
        #expect(
            try refused(messages, PriceBook(perMessage: 2)) == "422 out_of_range meters.cost_micro")
        #expect(try refused(messages, PriceBook(perMessage: 1)) == "accepted")
        #expect(
            try refused(messages, PriceBook(perMessage: 1, creditRate: 1_000_001))
                == "422 out_of_range meters.credits_micro")
        #expect(
            try refused(
                #""api_cost":9007199254.740991,"credits":1"#,
                PriceBook(perMessage: 2, creditRate: .max >> 10)) == "accepted")
    }

    @Test func `A repetition is the same event after prices have changed`() throws {
        let event = try Self.event("\(Self.plain),\"id\":\"a\"")
        let versions = try [
            event, event.priced(by: Self.cheap), event.priced(by: Self.dear),
            event.priced(by: PriceBook(perMessage: 1)),
            Self.event(#"\#(Self.plain),"id":"a","enforce":true"#),
        ]
        for left in versions {
            for right in versions { #expect(left.isSamePayload(as: right)) }
        }
        // A given amount is part of what was sent, be it the same as a computed one.
        for member in [#""api_cost":"0.0075""#, #""credits":"0.075""#] {
            let given = try Self.event("\(Self.plain),\"id\":\"a\",\(member)")
            for version in try versions + [event.priced(by: Self.cheap)] {
                #expect(!given.isSamePayload(as: version) && !version.isSamePayload(as: given))
                #expect(try !given.priced(by: Self.cheap).isSamePayload(as: version))
            }
            #expect(try given.priced(by: Self.cheap).isSamePayload(as: given.priced(by: Self.dear)))
        }
        let other = try Self.event(
            #""id":"a","meters":{"input_tokens":1001,"messages":1,"zeta":3}"#)
        #expect(try !other.priced(by: Self.cheap).isSamePayload(as: versions[1]))
    }
}

@Suite struct EventMoneyTests {
    @Test(arguments: [
        (#""api_cost":"0.0123","meters":{"messages":1}"#, "messages 1, cost_micro 12300"),
        (#""credits":1.5,"meters":{"own":1}"#, "credits_micro 1500000, own 1"),
        (#""credits":"2","api_cost":1e-1"#, "credits_micro 2000000, cost_micro 100000"),
        (#""api_cost":0"#, "cost_micro 0"), (#""credits":"0","meters":{}"#, "credits_micro 0"),
        (#""api_cost":1,"meters":null"#, "cost_micro 1000000"),
        (
            #""usage":{"prompt_tokens":5,"completion_tokens":2},"api_cost":"0.5""#,
            "input_tokens 5, output_tokens 2, tokens 7, cost_micro 500000"
        ),
        (
            #""credits":1,"meters":{"cost_micro":7}"#, "credits_micro 1000000, cost_micro 7"
        ),
    ])
    func `Money is an amount like others`(members: String, expected: String) throws {
        for text in [#"{"subject":"u",\#(members)}"#, #"{\#(members),"subject":"u"}"#] {
            let event = try decode(text)
            #expect(event.amounts.map { "\($0.name) \($1)" }.joined(separator: ", ") == expected)
            #expect(event.derived.isEmpty && !event.enforce)
        }
    }

    @Test(arguments: [
        (#""api_cost":"1","meters":{"cost_micro":1}"#, "422 ambiguous_amounts api_cost"),
        (#""meters":{"credits_micro":0},"credits":0"#, "422 ambiguous_amounts credits"),
        (#""api_cost":-1"#, "422 out_of_range api_cost"),
        (#""api_cost":"-0""#, "422 out_of_range api_cost"),
        (#""api_cost":0.0000001"#, "422 too_precise api_cost"),
        (#""api_cost":true"#, "422 wrong_type api_cost"),
        (#""api_cost":"""#, "422 malformed_number api_cost"),
        (#""credits":9007199254.740992"#, "422 out_of_range credits"),
        (#""credits":{}"#, "422 wrong_type credits"),
        (#""credits":"+1""#, "422 malformed_number credits"),
        (#""api_cost":null"#, "422 field_required meters"),
        (#""credits":null,"meters":{}"#, "422 field_required meters"),
        (#""api_cost":1,"meters":{"a":1},"usage":{}"#, "422 ambiguous_amounts usage"),
        (#""api_cost":1,"usage":{}"#, "422 unknown_usage usage"),
        (#""enforce":"yes","api_cost":1"#, "422 wrong_type enforce"),
        (#""enforce":0,"api_cost":1"#, "422 wrong_type enforce"),
        (#""enforce":true"#, "422 field_required meters"),
    ])
    func `Money and enforcement are checked`(members: String, expected: String) throws {
        #expect(
            try refusal { _ = try decode(#"{"subject":"u",\#(members)}"#) } == expected)
    }

    @Test(arguments: [("true", true), ("false", false), ("null", false)])
    func `An event says whether it may be refused`(value: String, expected: Bool) throws {
        let event = try decode(#"{"subject":"u","credits":1,"enforce":\#(value)}"#)
        #expect(event.enforce == expected)
    }
}
