// SPDX-License-Identifier: Apache-2.0

/// One thing that happened.
public struct UsageEvent: Sendable {
    /// The client's name for it; nil when it brought none.
    public var id: ByteString?
    /// When it happened; nil for the time of its arrival.
    public var time: Timestamp?
    public var subject: SubjectID
    public var action: ByteString
    /// Empty when none was named.
    public var model: ByteString
    public var description: ByteString
    /// In the order of `Meter.precedes`, each meter once, each amount 0 to 2^53 − 1.
    public var amounts: [(Meter, Int)]
    /// Whether it is to be refused, and to count nothing, where credits or a limit do not suffice.
    public var enforce: Bool
    /// Which of the amounts a price book made of the others.
    public internal(set) var derived: DerivedAmounts

    /// What an event without an action did.
    public static let defaultAction = ByteString("usage")

    public init(
        id: ByteString? = nil, time: Timestamp? = nil, subject: SubjectID,
        action: ByteString = Self.defaultAction, model: ByteString = .empty,
        description: ByteString = .empty, amounts: [(Meter, Int)], enforce: Bool = false,
        derived: DerivedAmounts = []
    ) {
        self.id = id
        self.time = time
        self.subject = subject
        self.action = action
        self.model = model
        self.description = description
        self.amounts = amounts
        self.enforce = enforce
        self.derived = derived
    }

    /// Whether both are the same event sent twice. What a price book made of them is left out,
    /// because prices may have changed in between, and so is `enforce`, which is no part of what
    /// happened. A reversal is the same whatever its reason.
    func isSamePayload(as other: UsageEvent) -> Bool {
        id == other.id && time == other.time && subject == other.subject && action == other.action
            && model == other.model && (description == other.description || isReversal)
            && givenAmounts.elementsEqual(other.givenAmounts) { $0 == $1 }
    }

    /// Whether it undoes another: only the service gives such ids.
    var isReversal: Bool { id?.bytes.starts(with: LogPosition.reversalPrefix.utf8) ?? false }

    /// The amounts that are not derived.
    private var givenAmounts: some Sequence<(Meter, Int)> {
        amounts.lazy.filter { [derived] in !derived.contains($0.0) }
    }
}

extension [(Meter, Int)] {
    /// The amount of a meter, nil when there is none.
    func amount(of meter: Meter) -> Int? { first { $0.0 == meter }?.1 }

    /// Makes the amount of a meter, if there is one, no more than that.
    mutating func cap(_ meter: Meter, at most: Int) {
        for index in indices where self[index].0 == meter {
            self[index].1 = Swift.min(self[index].1, most)
        }
    }

    /// Puts the amount of a meter that is not among these, which are in order, in its place.
    mutating func add(_ amount: Int, of meter: Meter) {
        let place = firstIndex { Meter.precedes(meter, $0.0) } ?? endIndex
        insert((meter, amount), at: place)
    }
}

/// Which amounts of an event a price book made; the others came with it.
public struct DerivedAmounts: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// That of `cost_micro`.
    public static let cost = DerivedAmounts(rawValue: 1)
    /// That of `credits_micro`.
    public static let credits = DerivedAmounts(rawValue: 2)

    func contains(_ meter: Meter) -> Bool {
        contains(.cost) && meter == .costMicro || contains(.credits) && meter == .creditsMicro
    }
}
