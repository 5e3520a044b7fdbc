// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@testable import Metering

/// Reads an amount from a JSON text.
private func micros(_ text: String) throws -> Int {
    try MicroDecimal.micros(json(text), "price")
}

private func refused(_ text: String) throws -> String { try refusal { _ = try micros(text) } }

@Suite struct MicroDecimalTests {
    @Test(arguments: [
        ("0", 0), ("0.0", 0), ("0e999999999999", 0), ("0.000000000E-7", 0), ("1", 1_000_000),
        ("0.005", 5_000), ("5e-3", 5_000), ("2.5E2", 250_000_000), ("2.5E+2", 250_000_000),
        ("1e-6", 1), ("0.000001", 1), ("10e-7", 1), ("1.0000000", 1_000_000),
        ("0.0000010000000", 1), ("100000000000000000000e-20", 1_000_000),
        ("0.00000000000000000001e20", 1_000_000), ("1e-0", 1_000_000),
        ("1e007", 10_000_000_000_000),
        ("120.340", 120_340_000), ("9007199254.740991", 9_007_199_254_740_991),
        ("9007199254740991e-6", 9_007_199_254_740_991), ("9007199254.7409910", .max >> 10),
    ])
    func `An amount is read from its text`(text: String, expected: Int) throws {
        #expect(try micros(text) == expected)
        #expect(try micros("\"\(text)\"") == expected)
    }

    @Test(arguments: [
        ("-1", "out_of_range"), ("-0", "out_of_range"), ("-0.0e9", "out_of_range"),
        ("-1e-99", "out_of_range"), ("1e-7", "too_precise"), ("0.0000001", "too_precise"),
        ("1.0000001", "too_precise"), ("123456789e-7", "too_precise"),
        ("1e-999999999999", "too_precise"), ("1e-99999999999999999999999", "too_precise"),
        ("9007199254.7409911", "too_precise"), ("99999999999999999999.0000001", "too_precise"),
        ("9007199254.740992", "out_of_range"), ("9007199254.740993", "out_of_range"),
        ("9999999999", "out_of_range"), ("10000000000", "out_of_range"), ("1e10", "out_of_range"),
        ("1e999999999999", "out_of_range"), ("1e99999999999999999999999", "out_of_range"),
        ("18446744073709.551616", "out_of_range"), ("18446744073709551616", "out_of_range"),
        ("340282366920938463463374607431768211456", "out_of_range"),
    ])
    func `An amount that cannot be held is refused`(text: String, code: String) throws {
        #expect(try refused(text) == "422 \(code) price")
        #expect(try refused("\"\(text)\"") == "422 \(code) price")
    }

    @Test(arguments: [
        "", " ", " 1", "1 ", "+1", "01", "00", "00.5", "-01", "-", "--1", ".5", "1.", "1.e1", ".",
        "1e", "1e+", "1e-", "e1", "1e1.5", "1ee1", "1e+-1", "1.2.3", "1,5", "1_0", "0x10", "NaN",
        "Infinity", "-Infinity", "one", "١", "1\\n", "5€", "1/2", "1e1e1", "-abc",
    ])
    func `A text that is no number is refused`(text: String) throws {
        #expect(try refused("\"\(text)\"") == "422 malformed_number price")
    }

    @Test(arguments: [
        ("null", "422 field_required price"), ("true", "422 wrong_type price"),
        ("false", "422 wrong_type price"), ("[]", "422 wrong_type price"),
        ("[1]", "422 wrong_type price"), ("{}", "422 wrong_type price"),
        ("+1", "invalid_json"), ("01", "invalid_number"),
    ])
    func `What is no number and no string is refused`(text: String, expected: String) throws {
        #expect(try refused(text) == expected)
    }

    @Test(arguments: [
        (0, "0"), (1, "0.000001"), (-1, "-0.000001"), (5_000, "0.005"), (10_000_000, "10"),
        (-1_500_000, "-1.5"), (100_010, "0.10001"), (9_007_199_254_740_991, "9007199254.740991"),
        (-9_007_199_254_740_991, "-9007199254.740991"), (.max, "9223372036854.775807"),
        (.min, "-9223372036854.775808"),
    ])
    func `An amount is written as its shortest decimal`(amount: Int, expected: String) {
        #expect(MicroDecimal.text(amount) == expected)
    }

    @Test func `Every way to write an amount is read as that amount`() throws {
        let reader = try JSONReader(limits: JSONLimits(numberBytes: 1_000))
        for _ in 0..<5_000 {
            let amount = randomAmount()
            #expect(
                try MicroDecimal.micros(reader.read(MicroDecimal.text(amount)), "") == amount)
            let text = Self.randomText(of: amount)
            #expect(try MicroDecimal.micros(reader.read(text), "") == amount, "\(text)")
            #expect(try MicroDecimal.micros(reader.read("\"\(text)\""), "") == amount, "\(text)")
        }
    }

    /// The digits of an amount with a point anywhere, zeros around, and the exponent to match.
    private static func randomText(of amount: Int) -> String {
        var digits = String(amount) + String(repeating: "0", count: .random(in: 0...20))
        var power = -6 - (digits.count - String(amount).count)
        let fractionCount = Int.random(in: 0...40)
        power += fractionCount
        while digits.count <= fractionCount { digits = "0" + digits }
        let whole = digits.dropLast(fractionCount)
        let fraction = digits.suffix(fractionCount)
        var text = whole == "0" ? "0" : String(whole.drop { $0 == "0" })
        if text.isEmpty { text = "0" }
        if !fraction.isEmpty { text += ".\(fraction)" }
        if power != 0 || Bool.random() {
            text += Bool.random() ? "e" : "E"
            text += power < 0 ? "-" : Bool.random() ? "+" : ""
            text += String(repeating: "0", count: .random(in: 0...3)) + "\(power.magnitude)"
        }
        return text
    }

    @Test func `Random texts are read as a reading on paper says`() throws {
        let reader = try JSONReader()
        var counts: [String: Int] = [:]
        for _ in 0..<4_000 {
            let text = Self.randomText()
            let expected = Self.onPaper(text)
            let value = try reader.read("\"\(text)\"")
            let outcome = try refusal {
                let amount = try MicroDecimal.micros(value, "price")
                #expect("\(amount)" == expected, "\(text)")
            }
            #expect(outcome == "accepted" || outcome == "422 \(expected) price", "\(text)")
            counts[outcome, default: 0] += 1
        }
        #expect(counts.count == 4 && counts.values.allSatisfy { $0 > 100 }, "\(counts)")
    }

    /// Often a number, and often with a slip of the pen.
    private static func randomText() -> String {
        func digits(_ counts: ClosedRange<Int>) -> String {
            String((0..<Int.random(in: counts)).compactMap { _ in "0001234569".randomElement() })
        }
        var text = Int.random(in: 0..<20) == 0 ? "-" : ""
        text += Bool.random() ? "0" : digits(0...11)
        if Bool.random() { text += "." + digits(0...9) }
        if Bool.random() {
            text += ["e", "E", "e+", "e-"].randomElement() ?? ""
            text += digits(0...1) + digits(0...1)
        }
        if Int.random(in: 0..<20) == 0 { text += ["-", ".", "e", " "].randomElement() ?? "" }
        return text
    }

    private static var grammar:
        Regex<(Substring, Substring, Substring, Substring?, Substring?, Substring?)>
    {
        /(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?/
    }

    /// Moves the point by cutting and padding strings.
    private static func onPaper(_ text: String) -> String {
        guard let match = text.wholeMatch(of: grammar) else { return "malformed_number" }
        let (_, sign, whole, fraction, exponentSign, exponent) = match.output
        if sign == "-" { return "out_of_range" }
        let digits = whole + (fraction ?? "")
        guard digits.contains(where: { $0 != "0" }) else { return "0" }
        let magnitude = min(Int(exponent ?? "0") ?? 0, 100)
        let places = whole.count + 6 + (exponentSign == "-" ? -magnitude : magnitude)
        if places <= 0 { return "too_precise" }
        guard digits.dropFirst(places).allSatisfy({ $0 == "0" }) else { return "too_precise" }
        let padded =
            digits.prefix(places) + String(repeating: "0", count: max(0, places - digits.count))
        let integer = padded.drop { $0 == "0" }
        guard integer.count <= 16, let value = Int(integer), value <= 9_007_199_254_740_991 else {
            return "out_of_range"
        }
        return "\(value)"
    }

    @Test func `Long texts are read to their end, in time that grows with their length`() throws {
        let zeros = String(repeating: "0", count: 60_000)
        #expect(try micros("\"1.\(zeros)\"") == 1_000_000)
        #expect(try micros("\"0.\(zeros)1e60001\"") == 1_000_000)
        #expect(try micros("\"1\(zeros)e-60000\"") == 1_000_000)
        #expect(try micros("1\(zeros)e-60000") == 1_000_000)
        #expect(try micros("\"1e\(zeros)1\"") == 10_000_000)
        #expect(try refused("\"1.\(zeros)1\"") == "422 too_precise price")
        #expect(try refused("\"1\(zeros)\"") == "422 out_of_range price")
        #expect(try refused("\"1\(zeros)1e-60000\"") == "422 too_precise price")
        #expect(try refused("\"0\(zeros)\"") == "422 malformed_number price")
        let nines = String(repeating: "9", count: 60_000)
        #expect(try refused("\"\(nines)\"") == "422 out_of_range price")
        #expect(try refused("\"1e\(nines)\"") == "422 out_of_range price")
        #expect(try refused("\"1e-\(nines)\"") == "422 too_precise price")
        #expect(try micros("\"0e\(nines)\"") == 0)
    }
}
