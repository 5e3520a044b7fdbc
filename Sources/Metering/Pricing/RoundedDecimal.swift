// SPDX-License-Identifier: Apache-2.0

/// Quotients as decimals of some places, rounded half away from zero: from integers, so that no
/// binary floating point comes between.
public enum RoundedDecimal {
    /// A quotient as JSON writes it, without zeros at the end: 1 over 8 to two places is `0.13`.
    ///
    /// - Parameters:
    ///   - divisor: above 0; for any other the text is `0`.
    ///   - places: 0 to 6.
    public static func text(_ dividend: Int128, over divisor: Int128, places: Int) -> String {
        guard divisor > 0 else { return "0" }
        let scale = (0..<places).reduce(Int128(1)) { scale, _ in scale * 10 }
        let (scaled, overflows) = dividend.multipliedReportingOverflow(by: scale)
        guard !overflows else { return "\(dividend / divisor)" }
        let (quotient, rest) = scaled.magnitude.quotientAndRemainder(dividingBy: divisor.magnitude)
        let rounded = quotient + (rest >= divisor.magnitude - rest ? 1 : 0)
        let (whole, fraction) = rounded.quotientAndRemainder(dividingBy: scale.magnitude)
        var text = dividend < 0 && rounded != 0 ? "-\(whole)" : "\(whole)"
        guard fraction != 0 else { return text }
        let digits = "\(fraction)"
        text += "." + String(repeating: "0", count: places - digits.utf8.count) + digits
        while text.utf8.last == UInt8(ascii: "0") { text.removeLast() }
        return text
    }

    /// As `text(_:over:places:)`, of integers that were counted.
    public static func text(_ dividend: Int, over divisor: Int, places: Int) -> String {
        text(Int128(dividend), over: Int128(divisor), places: places)
    }
}
