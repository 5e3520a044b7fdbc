// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// Random bytes that nobody can foresee.
///
/// - Parameter count: 1 to 1024.
public func randomBytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    precondition(RAND_bytes(&bytes, Int32(count)) == 1, "OpenSSL has no random numbers")
    return bytes
}

/// The SHA-256 of bytes: 32 bytes.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    let status = EVP_Digest(
        bytes.baseAddress, bytes.count, &output, &length, EVP_sha256(), nil)
    precondition(status == 1, "SHA-256 is not available in this OpenSSL")
    return output
}

/// Lower-case hexadecimal digits.
public func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
        decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
