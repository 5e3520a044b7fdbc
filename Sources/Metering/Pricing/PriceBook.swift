// SPDX-License-Identifier: Apache-2.0

/// What usage costs in a workspace, and how many credits are taken for a cost.
public struct PriceBook: Equatable, Sendable {
    /// The most models with prices of their own, patterns included.
    public static let modelCountMax = 1_000

    /// Nothing has a price.
    public static let empty = PriceBook()

    /// What a workspace has until another one is put: 0.005 of its currency for each message.
    public static let initial = PriceBook(perMessage: 5_000)

    /// Micro-currency for each message, 0 to 2^53 − 1.
    public let perMessage: Int
    /// Credits for each unit of currency, in millionths, 0 to 2^53 − 1. With 0 a cost takes none.
    public let creditRate: Int
    /// For events whose model has no prices of its own, and for those without a model.
    public let defaultPrices: ModelPrices?
    /// By model, or by a pattern that ends in `*`.
    public let models: [ByteString: ModelPrices]
    /// Whether the book can give no event a cost or credits.
    public let isEmpty: Bool
    private let patterns: PrefixPrices

    /// - Parameter models: By names that `isName` allows.
    init(
        perMessage: Int = 0, creditRate: Int = 0, defaultPrices: ModelPrices? = nil,
        models: [ByteString: ModelPrices] = [:]
    ) {
        self.perMessage = perMessage
        self.creditRate = creditRate
        self.defaultPrices = defaultPrices
        self.models = models
        isEmpty = perMessage == 0 && creditRate == 0 && defaultPrices == nil && models.isEmpty
        let patterns = models.filter { $0.key.bytes.last == Self.wildcard }.map { name, prices in
            (ByteString(bytes: name.bytes.dropLast()), prices)
        }
        self.patterns = PrefixPrices(Dictionary(uniqueKeysWithValues: patterns))
    }

    private static let wildcard = UInt8(ascii: "*")

    /// Whether a book may name a model like this: 1 to 128 bytes of UTF-8 as in an event, and `*`
    /// at the end only.
    static func isName(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        (1...EventDecoder.labelBytesMax).contains(bytes.count) && !bytes.hasControls
            && !bytes.dropLast().contains(wildcard)
    }

    /// What the tokens of a model cost: as of its exact name, else of the longest pattern that
    /// fits, else of the default. Nil when none of them is in the book.
    ///
    /// The pattern `*` fits everything, also an event without a model, whose name is empty.
    public func prices(of model: ByteString) -> ModelPrices? {
        // A pattern is found by its own name as well. That it is the longest that fits such a
        // name is certain, because no other has a `*` before its last.
        models[model] ?? patterns.longest(of: model) ?? defaultPrices
    }
}
