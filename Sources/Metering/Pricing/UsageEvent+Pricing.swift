// SPDX-License-Identifier: Apache-2.0

extension UsageEvent {
    /// The event with the amounts that a book makes of it: its cost, unless it brings
    /// `cost_micro`, and the credits for the cost that it has then, unless it brings
    /// `credits_micro`.
    ///
    /// What a book made of it before is replaced. Without any of it, and with an empty book, the
    /// event stays as it is, at no cost.
    ///
    /// - Throws: 422 `out_of_range` when the cost or the credits pass 2^53 − 1.
    public consuming func priced(by book: PriceBook) throws(EventRejection) -> UsageEvent {
        guard !book.isEmpty || !derived.isEmpty else { return self }
        var event = self
        if !event.derived.isEmpty {
            event.amounts.removeAll { event.derived.contains($0.0) }
            event.derived = []
        }
        var cost = event.amounts.amount(of: .costMicro)
        if cost == nil,
            let total = try book.cost(of: event.amounts, model: event.model)?.total
        {
            event.amounts.add(total, of: .costMicro)
            event.derived.insert(.cost)
            cost = total
        }
        if let cost, event.amounts.amount(of: .creditsMicro) == nil,
            let credits = try book.credits(forCost: cost)
        {
            event.amounts.add(credits, of: .creditsMicro)
            event.derived.insert(.credits)
        }
        return event
    }
}
