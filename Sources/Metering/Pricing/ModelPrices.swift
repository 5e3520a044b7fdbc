// SPDX-License-Identifier: Apache-2.0

/// What the tokens of a model cost: micro-currency per million tokens, 0 to 2^53 − 1 each.
///
/// The pools are those of the meters and do not overlap: a token that was read from a cache is
/// paid as such and not as input.
public struct ModelPrices: Hashable, Sendable {
    /// Of `input_tokens`.
    public var input: Int
    /// Of `output_tokens`.
    public var output: Int
    /// Of `cached_tokens`.
    public var cachedRead: Int
    /// Of `cache_write_tokens`.
    public var cachedWrite: Int

    public init(input: Int = 0, output: Int = 0, cachedRead: Int = 0, cachedWrite: Int = 0) {
        self.input = input
        self.output = output
        self.cachedRead = cachedRead
        self.cachedWrite = cachedWrite
    }
}
