// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Metering

private let most = 9_007_199_254_740_991

private func amounts(_ names: KeyValuePairs<String, Int>) -> [(Meter, Int)] {
    names.map { (meter($0.key), $0.value) }
}

@Suite struct CostTests {
    /// The parts of a cost in the order in which they are rounded.
    private static func parts(_ cost: EventCost) -> [Int] {
        [cost.input, cost.cachedRead, cost.cachedWrite, cost.output, cost.messages]
    }

    @Test func `Each pool has its price, and each message`() throws {
        let book = try book(
            #"""
            {"per_message":"0.005","models":{"gpt-4o*":
            {"input":"2.50","output":"10","cached_read":"1.25","cached_write":"3"}}}
            """#)
        let cost = try book.cost(
            of: amounts([
                "input_tokens": 1_000_000, "output_tokens": 1_000, "tokens": 5_000_000,
                "cached_tokens": 2_000, "messages": 2, "api_calls": 9, "cache_write_tokens": 100,
                "own": 77,
            ]), model: ByteString("gpt-4o-mini"))
        #expect(
            cost
                == EventCost(
                    input: 2_500_000, cachedRead: 2_500, cachedWrite: 300, output: 10_000,
                    messages: 10_000))
        #expect(cost?.total == 2_522_800)
    }

    @Test(arguments: [
        // 1 token at 0.5 of a micro-unit, at a millionth less, and three times 0.5.
        ([1, 0, 0, 0], [500_000, 0, 0, 0], [1, 0, 0, 0, 0]),
        ([1, 0, 0, 0], [499_999, 0, 0, 0], [0, 0, 0, 0, 0]),
        ([1, 1, 1, 0], [500_000, 500_000, 500_000, 0], [1, 0, 1, 0, 0]),
        ([1, 1, 1, 1], [499_999, 1, 999_999, 1], [0, 1, 0, 1, 0]),
        ([1, 1, 1, 1], [300_000, 300_000, 300_000, 300_000], [0, 1, 0, 0, 0]),
    ])
    func `Rounding is once, half up, and the parts fit`(
        tokens: [Int], prices: [Int], expected: [Int]
    ) throws {
        let book = PriceBook(
            defaultPrices: ModelPrices(
                input: prices[0], output: prices[3], cachedRead: prices[1], cachedWrite: prices[2]))
        let cost = try #require(
            try book.cost(
                of: amounts([
                    "input_tokens": tokens[0], "output_tokens": tokens[3],
                    "cached_tokens": tokens[1], "cache_write_tokens": tokens[2],
                ]), model: .empty))
        #expect(Self.parts(cost) == expected)
        let exact = zip(tokens, prices).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(cost.total == (exact + 500_000) / 1_000_000)
    }

    @Test func `Random costs are those of long multiplication`() throws {
        let names = ["input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens"]
        var refused = 0
        for _ in 0..<4_000 {
            let prices = (0..<5).map { _ in randomAmount() }
            // Products of two amounts of any size would hardly ever be in range.
            let counts = prices.map { price in
                Bool.random() || price == 0
                    ? randomAmount() : Int.random(in: 0...(most / price)) * 1_000 % most
            }
            let book = PriceBook(
                perMessage: prices[4],
                models: [
                    ByteString("m*"): ModelPrices(
                        input: prices[0], output: prices[3], cachedRead: prices[1],
                        cachedWrite: prices[2])
                ])
            var usage = zip(names, counts).map { (meter($0), $1) } + [(Meter.messages, counts[4])]
            usage.shuffle()
            var exact = Digits(0)
            for place in 0..<4 { exact = exact + Digits(prices[place]) * Digits(counts[place]) }
            exact = exact + Digits(prices[4]) * Digits(counts[4]) * Digits(1_000_000)
            do {
                let cost = try #require(try book.cost(of: usage, model: ByteString("m1")))
                let parts = Self.parts(cost)
                #expect(cost.total == exact.millionth)
                #expect(parts.reduce(0, +) == cost.total && parts.allSatisfy { $0 >= 0 })
                for place in 0..<4 {
                    let alone = (Digits(prices[place]) * Digits(counts[place])).millionth
                    #expect(abs(parts[place] - (alone ?? -2)) <= 1)
                }
            } catch let error as EventRejection {
                #expect(exact.millionth == nil && error.code == "out_of_range")
                refused += 1
            }
        }
        #expect((400...3_600).contains(refused), "\(refused)")
    }

    @Test func `Random credits are those of long multiplication`() throws {
        var refused = 0
        for _ in 0..<4_000 {
            let (cost, rate) = (randomAmount(), max(1, randomAmount()))
            let exact = (Digits(cost) * Digits(rate)).millionth
            do {
                #expect(try PriceBook(creditRate: rate).credits(forCost: cost) == exact)
            } catch {
                #expect(exact == nil && error.code == "out_of_range")
                refused += 1
            }
        }
        #expect((400...3_600).contains(refused), "\(refused)")
    }

    @Test(arguments: [
        (1, 500_000, 1), (1, 499_999, 0), (3, 500_000, 2), (5_000, 10_000_000, 50_000),
        (0, 10_000_000, 0), (1, 0, nil), (most, 1_000_000, most),
    ])
    func `Credits are the cost at the rate`(cost: Int, rate: Int, expected: Int?) throws {
        #expect(try PriceBook(creditRate: rate).credits(forCost: cost) == expected)
    }

    @Test func `What passes the largest amount is refused`() throws {
        let book = PriceBook(
            perMessage: most, creditRate: 1_000_001,
            defaultPrices: ModelPrices(input: most, output: 1_000_000))
        func cost(_ names: KeyValuePairs<String, Int>) throws -> String {
            try refusal { _ = try book.cost(of: amounts(names), model: .empty) }
        }
        #expect(try cost(["input_tokens": 1_000_000]) == "accepted")
        #expect(try cost(["messages": 1]) == "accepted")
        #expect(try cost(["output_tokens": most]) == "accepted")
        let refused = "422 out_of_range meters.cost_micro"
        #expect(try cost(["input_tokens": 1_000_001]) == refused)
        #expect(try cost(["input_tokens": most]) == refused)
        #expect(try cost(["messages": 2]) == refused)
        #expect(try cost(["messages": most]) == refused)
        #expect(try cost(["output_tokens": 1, "messages": 1]) == refused)
        #expect(
            try cost(["input_tokens": most, "output_tokens": most, "messages": most]) == refused)
        #expect(
            try refusal { _ = try book.credits(forCost: most) }
                == "422 out_of_range meters.credits_micro")
        #expect(
            try refusal { _ = try PriceBook(creditRate: most).credits(forCost: most) }
                == "422 out_of_range meters.credits_micro")
    }

    @Test func `What nothing prices has no cost`() throws {
        let tokens = amounts(["input_tokens": 5, "tokens": 5])
        let messages = amounts(["messages": 3])
        let others = amounts(["tokens": 5, "files_uploaded": 1, "own": 3])
        let model = ByteString("m")
        #expect(try PriceBook.empty.cost(of: tokens + messages, model: model) == nil)
        let perMessage = PriceBook(perMessage: 5_000)
        #expect(try perMessage.cost(of: tokens, model: model) == nil)
        #expect(try perMessage.cost(of: messages, model: .empty)?.total == 15_000)
        let byModel = PriceBook(models: [model: ModelPrices(output: 7)])
        #expect(try byModel.cost(of: tokens, model: ByteString("n")) == nil)
        #expect(try byModel.cost(of: others + messages, model: model) == nil)
        #expect(try byModel.cost(of: tokens, model: model)?.total == 0)
    }
}
