// SPDX-License-Identifier: Apache-2.0

/// What an event costs, in micro-currency.
///
/// The exact cost, which may have fractions of a micro-unit, is rounded once for the whole event,
/// half up. Its parts are made to fit: summed up in the order in which they stand here, each is
/// the difference that it makes to the rounded sum. So they always add up to the total, and each
/// is less than one micro-unit away from its exact value.
public struct EventCost: Hashable, Sendable {
    /// Of tokens that were neither read from nor written to a cache.
    public var input = 0
    public var cachedRead = 0
    public var cachedWrite = 0
    public var output = 0
    /// Of messages at their flat price.
    public var messages = 0

    /// 0 to 2^53 − 1.
    public var total: Int { input + cachedRead + cachedWrite + output + messages }
}

extension PriceBook {
    /// The cost of an event with these amounts. Nil when nothing of it has a price: neither has
    /// its model prices and it tokens of the priced pools, nor has the book a price for messages
    /// and it messages.
    ///
    /// What has a price of 0 has a cost, which is 0.
    ///
    /// - Throws: 422 `out_of_range` when the cost passes 2^53 − 1.
    public func cost(
        of amounts: [(Meter, Int)], model: ByteString
    ) throws(EventRejection) -> EventCost? {
        guard let exact = exactCost(of: amounts, model) else { return nil }
        var cost = EventCost()
        var sum: UInt128 = 0
        var rounded = 0
        func next(_ part: UInt128) throws(EventRejection) -> Int {
            // Most events use one or two of the parts, and the division costs most of all this.
            guard part != 0 else { return 0 }
            sum += part
            let before = rounded
            rounded = try Self.rounded(millionths: sum, .costMicro)
            return rounded - before
        }
        cost.input = try next(exact.input)
        cost.cachedRead = try next(exact.cachedRead)
        cost.cachedWrite = try next(exact.cachedWrite)
        cost.output = try next(exact.output)
        cost.messages = try next(exact.messages)
        return cost
    }

    /// The micro-credits that are taken for a cost in micro-currency, rounded half up. Nil when
    /// the book has no credit rate.
    ///
    /// - Throws: 422 `out_of_range` when they pass 2^53 − 1.
    public func credits(forCost cost: Int) throws(EventRejection) -> Int? {
        guard creditRate > 0 else { return nil }
        return try Self.rounded(millionths: Self.product(cost, creditRate), .creditsMicro)
    }

    /// In millionths of micro-currency, exact.
    private struct ExactCost {
        var input: UInt128 = 0
        var cachedRead: UInt128 = 0
        var cachedWrite: UInt128 = 0
        var output: UInt128 = 0
        var messages: UInt128 = 0
    }

    /// Nil when nothing has a price. All factors are less than 2^53 and a million less than 2^20,
    /// so that the sum of the parts is less than 2^127.
    private func exactCost(of amounts: [(Meter, Int)], _ model: ByteString) -> ExactCost? {
        var exact = ExactCost()
        var hasTokens = false
        var hasMessages = false
        let prices = prices(of: model)
        for (meter, amount) in amounts {
            if meter == .messages {
                guard perMessage > 0 else { continue }
                exact.messages = 1_000_000 * Self.product(amount, perMessage)
                hasMessages = true
            } else if let prices {
                switch meter {
                case .inputTokens: exact.input = Self.product(amount, prices.input)
                case .cachedTokens: exact.cachedRead = Self.product(amount, prices.cachedRead)
                case .cacheWriteTokens: exact.cachedWrite = Self.product(amount, prices.cachedWrite)
                case .outputTokens: exact.output = Self.product(amount, prices.output)
                default: continue
                }
                hasTokens = true
            }
        }
        return hasTokens || hasMessages ? exact : nil
    }

    private static func product(_ left: Int, _ right: Int) -> UInt128 {
        UInt128(left) * UInt128(right)
    }

    private static func rounded(
        millionths: UInt128, _ meter: Meter
    ) throws(EventRejection) -> Int {
        let rounded = (millionths + 500_000) / 1_000_000
        guard rounded <= EventBatch.exactIntegerMax else {
            throw EventRejection(
                code: "out_of_range", field: "meters.\(meter.name)",
                detail: "what the price book makes of it passes 2^53 - 1")
        }
        return Int(rounded)
    }
}
