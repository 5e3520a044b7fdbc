// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@testable import Metering

/// Status, code and field of the rejection that a piece of work ends with; `accepted` when it ends
/// without one, the reader's code where the text is no JSON.
func refusal(_ work: () throws -> Void) throws -> String {
    do {
        try work()
        return "accepted"
    } catch let error as JSONError {
        return error.code.rawValue
    } catch let error as EventRejection {
        #expect(!error.detail.isEmpty)
        return "\(error.status) \(error.code) \(error.field)"
    }
}

/// Reads with room for numbers and objects that an API would not take.
func json(_ text: String) throws -> JSONValue {
    try JSONReader(limits: JSONLimits(fields: 2_000, numberBytes: 100_000)).read(text)
}

func decode(_ text: String) throws -> UsageEvent { try EventDecoder.decode(json(text)) }

func book(_ text: String) throws -> PriceBook { try PriceBook(json(text)) }

func canonical(_ book: PriceBook) -> String {
    var writer = JSONWriter()
    book.write(&writer)
    return String(decoding: writer.bytes, as: UTF8.self)
}

func meter(_ name: String) -> Meter {
    guard let meter = Meter(name: Array(name.utf8)) else { preconditionFailure("meter \(name)") }
    return meter
}

/// Natural numbers as decimal digits, lowest first: nothing in common with the code under test.
struct Digits: Equatable, CustomStringConvertible {
    private var digits: [Int]

    init(_ value: Int) { digits = String(value).reversed().compactMap(\.wholeNumberValue) }

    var description: String { String(digits.reversed().map(String.init).joined()) }

    static func + (left: Digits, right: Digits) -> Digits {
        var sum = left
        for (place, digit) in right.digits.enumerated() {
            if place == sum.digits.count { sum.digits.append(0) }
            sum.digits[place] += digit
        }
        return sum.carried
    }

    static func * (left: Digits, right: Digits) -> Digits {
        var product = left
        product.digits = Array(repeating: 0, count: left.digits.count + right.digits.count)
        for (place, digit) in left.digits.enumerated() {
            for (other, factor) in right.digits.enumerated() {
                product.digits[place + other] += digit * factor
            }
        }
        return product.carried
    }

    /// A millionth of it, half up; nil when that passes 2^53 − 1.
    var millionth: Int? {
        let whole = digits.dropFirst(6).reversed().map(String.init).joined()
        guard whole.count < 18 else { return nil }
        let isUp = digits.count > 5 && digits[5] >= 5
        let value = (Int(whole) ?? 0) + (isUp ? 1 : 0)
        return value <= 9_007_199_254_740_991 ? value : nil
    }

    private var carried: Digits {
        var result = self
        var carry = 0
        for place in result.digits.indices {
            carry += result.digits[place]
            result.digits[place] = carry % 10
            carry /= 10
        }
        while carry > 0 {
            result.digits.append(carry % 10)
            carry /= 10
        }
        while result.digits.count > 1, result.digits.last == 0 { result.digits.removeLast() }
        return result
    }
}

/// A random amount: small, of any size, or at one of the ends.
func randomAmount() -> Int {
    switch Int.random(in: 0..<10) {
    case 0: 0
    case 1: 9_007_199_254_740_991
    case 2: 9_007_199_254_740_991 >> Int.random(in: 0...52)
    case 3...5: Int.random(in: 0...1_000)
    default: Int.random(in: 0...9_007_199_254_740_991) >> Int.random(in: 0...53)
    }
}
