// SPDX-License-Identifier: Apache-2.0

public import JSON

/// Amounts of money and credits: decimals outside, integers of millionths ("micros") inside.
///
/// A decimal is read from its own text, whether it comes as a JSON number or as a string, because
/// binary floating point holds no 0.1. What millionths cannot hold is refused, never rounded.
public enum MicroDecimal {
    /// Reads an amount, 0 to 9007199254.740991, in millionths: 0 to 2^53 − 1.
    ///
    /// A string has to follow JSON's grammar of numbers, exponents included. Zeros at the end do
    /// no harm: `1.0000000` is 1. The work grows with the length of the text, not with what its
    /// exponent says.
    ///
    /// - Parameter field: The name of the value, for the rejection.
    /// - Throws: 422 `field_required` for null, `wrong_type` for what is neither number nor
    ///   string, `malformed_number`, `out_of_range` for a minus sign (`-0` too) and for too much,
    ///   `too_precise` for more than 6 decimals.
    public static func micros(
        _ value: JSONValue, _ field: @autoclosure () -> String
    ) throws(EventRejection) -> Int {
        guard let text = value.number ?? value.string else {
            throw EventRejection(
                code: value.isNull ? "field_required" : "wrong_type", field: field(),
                detail: "an amount is a decimal, as a number or as a string")
        }
        do throws(Fault) {
            return try micros(text)
        } catch {
            throw error.rejection(field())
        }
    }

    /// As `micros(_:_:)`, from text that came outside of JSON.
    public static func micros(
        _ text: String, _ field: @autoclosure () -> String
    ) throws(EventRejection) -> Int {
        do throws(Fault) {
            return try Array(text.utf8).withUnsafeBufferPointer { bytes throws(Fault) in
                try micros(bytes)
            }
        } catch {
            throw error.rejection(field())
        }
    }

    /// The shortest exact decimal of any number of millionths: 5000 is `0.005`, -1500000 is `-1.5`.
    public static func text(_ micros: Int) -> String {
        var writer = JSONWriter(capacity: 24)
        writer.micros(micros)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// Why a text is no amount.
    enum Fault: Error {
        case malformed, negative, tooPrecise, tooLarge

        fileprivate func rejection(_ field: String) -> EventRejection {
            let (code, detail) =
                switch self {
                case .malformed: ("malformed_number", "a decimal is written like 0.005 or 5e-3")
                case .tooPrecise: ("too_precise", "an amount has at most 6 decimals")
                case .negative, .tooLarge: ("out_of_range", "an amount is 0 to 9007199254.740991")
                }
            return EventRejection(code: code, field: field, detail: detail)
        }
    }

    /// Reads a text of the grammar `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`.
    ///
    /// Where several faults meet, the first of `Fault`'s order is thrown.
    static func micros(_ text: UnsafeBufferPointer<UInt8>) throws(Fault) -> Int {
        var rest = text[...]
        let isNegative = rest.skip(UInt8(ascii: "-"))
        var significand = Significand()
        let whole = try rest.takeDigits()
        guard whole.count == 1 || whole.first != UInt8(ascii: "0") else { throw .malformed }
        for digit in whole { significand.append(digit) }
        var power = 6
        if rest.skip(UInt8(ascii: ".")) {
            let fraction = try rest.takeDigits()
            for digit in fraction { significand.append(digit) }
            power -= fraction.count
        }
        if rest.skip(UInt8(ascii: "e")) || rest.skip(UInt8(ascii: "E")) {
            let isFraction = rest.skip(UInt8(ascii: "-"))
            if !isFraction { _ = rest.skip(UInt8(ascii: "+")) }
            let exponent = exponent(try rest.takeDigits())
            power += isFraction ? -exponent : exponent
        }
        guard rest.isEmpty else { throw .malformed }
        guard !isNegative else { throw .negative }
        return try significand.multiplied(byTenTo: power)
    }

    /// Stops growing where no text in memory has digits enough to make up for it.
    private static func exponent(_ digits: Slice<UnsafeBufferPointer<UInt8>>) -> Int {
        var exponent = 0
        for digit in digits where exponent < 1 << 50 {
            exponent = 10 * exponent + Int(digit - UInt8(ascii: "0"))
        }
        return exponent
    }

    /// The digits of a number from the first to the last that is not zero, and the zeros after it.
    private struct Significand {
        /// 2^53 − 1 has as many: a longer integer is larger.
        private static let digitCountMax = 16

        /// Of the first `digitCountMax` digits at most.
        private var value = 0
        private var digitCount = 0
        private var zeroCount = 0

        mutating func append(_ digit: UInt8) {
            guard digit != UInt8(ascii: "0") else {
                if digitCount > 0 { zeroCount += 1 }
                return
            }
            digitCount += zeroCount + 1
            if digitCount <= Self.digitCountMax {
                for _ in 0...zeroCount { value *= 10 }
                value += Int(digit - UInt8(ascii: "0"))
            }
            zeroCount = 0
        }

        func multiplied(byTenTo power: Int) throws(Fault) -> Int {
            guard digitCount > 0 else { return 0 }
            let power = power + zeroCount
            // Its last digit is not zero, so that nothing but zeros may be cut off.
            guard power >= 0 else { throw .tooPrecise }
            guard digitCount + power <= Self.digitCountMax else { throw .tooLarge }
            let micros = (0..<power).reduce(value) { value, _ in 10 * value }
            guard micros <= EventBatch.exactIntegerMax else { throw .tooLarge }
            return micros
        }
    }
}

extension Slice<UnsafeBufferPointer<UInt8>> {
    /// Steps over a byte. False, and nothing done, when another one is next.
    fileprivate mutating func skip(_ byte: UInt8) -> Bool {
        guard first == byte else { return false }
        removeFirst()
        return true
    }

    /// Takes all digits up to the next other byte; one at least has to be there.
    fileprivate mutating func takeDigits() throws(MicroDecimal.Fault) -> Self {
        let digits = prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard !digits.isEmpty else { throw .malformed }
        self = self[digits.endIndex...]
        return digits
    }
}
