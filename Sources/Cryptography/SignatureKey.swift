// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// The algorithms of signed tokens (RFC 7518).
public enum SignatureAlgorithm: String, Sendable {
    /// HMAC with SHA-256.
    case hs256 = "HS256"
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    case rs256 = "RS256"
    /// ECDSA on P-256 with SHA-256.
    case es256 = "ES256"
}

/// A key that tells whether a signature is right. It has one algorithm, whatever a token says.
public final class SignatureKey: Sendable {
    /// Shorter ones can be guessed (RFC 7518, section 3.2).
    public static let secretByteCountMin = 32
    public static let modulusBitCountMin = 2048

    public let algorithm: SignatureAlgorithm
    private let secret: [UInt8]
    // Read only after it was made, which OpenSSL allows from any thread.
    private nonisolated(unsafe) let publicKey: OpaquePointer?

    /// HS256. Nil when the secret is shorter than 32 bytes.
    public init?(secret: [UInt8]) {
        guard secret.count >= Self.secretByteCountMin else { return nil }
        algorithm = .hs256
        self.secret = secret
        publicKey = nil
    }

    /// RS256, by modulus and exponent, the highest byte first. Nil when that is no key of 2,048 bits
    /// or more.
    public init?(modulus: [UInt8], exponent: [UInt8]) {
        algorithm = .rs256
        secret = []
        publicKey = tally_rsa_key(
            modulus, Int32(modulus.count), exponent, Int32(exponent.count))
        guard let publicKey, EVP_PKEY_get_bits(publicKey) >= Self.modulusBitCountMin else {
            return nil
        }
    }

    /// ES256, by the point on P-256. Nil when it is not on the curve.
    public init?(x: [UInt8], y: [UInt8]) {
        guard x.count == 32, y.count == 32 else { return nil }
        algorithm = .es256
        secret = []
        let point = [4] + x + y
        publicKey = tally_p256_key(point, point.count)
        guard publicKey != nil else { return nil }
    }

    deinit { EVP_PKEY_free(publicKey) }

    /// Whether the signature is that of the message by this key.
    public func isValid(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        switch algorithm {
        case .hs256:
            let code = hmacSHA256(of: message, key: secret)
            return signature.withUnsafeBytes { areEqualSecrets($0, code) }
        case .rs256: return verify(signature, message)
        case .es256:
            guard let encoded = Self.encoded(signature) else { return false }
            return verify(encoded, message)
        }
    }

    private func verify(_ signature: [UInt8], _ message: [UInt8]) -> Bool {
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        // What failed is left in a queue of the thread, where others would find it.
        defer { ERR_clear_error() }
        return EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, publicKey) == 1
            && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    /// A token's two numbers as OpenSSL reads them.
    private static func encoded(_ signature: [UInt8]) -> [UInt8]? {
        guard signature.count == 64 else { return nil }
        let pair = ECDSA_SIG_new()
        defer { ECDSA_SIG_free(pair) }
        let (r, s) = signature.withUnsafeBufferPointer { bytes in
            (
                BN_bin2bn(bytes.baseAddress, 32, nil),
                BN_bin2bn(bytes.baseAddress?.advanced(by: 32), 32, nil)
            )
        }
        guard ECDSA_SIG_set0(pair, r, s) == 1 else {
            BN_free(r)
            BN_free(s)
            return nil
        }
        var output: UnsafeMutablePointer<UInt8>?
        let count = Int(i2d_ECDSA_SIG(pair, &output))
        defer { CRYPTO_free(output, nil, 0) }
        guard count > 0, let output else { return nil }
        return Array(UnsafeBufferPointer(start: output, count: count))
    }
}

/// HMAC with SHA-256: 32 bytes.
public func hmacSHA256(of message: [UInt8], key: [UInt8]) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    let result = HMAC(
        EVP_sha256(), key, Int32(key.count), message, message.count, &output, &length)
    precondition(result != nil, "HMAC is not available in this OpenSSL")
    return output
}
