// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// How an event id that a client brought is remembered: at most 16 bytes.
///
/// Ids shorter than 16 bytes stand for themselves; longer ones are the first 16 bytes of their
/// SHA-256, so that neither kind can be taken for the other. 128 bits make an accidental meeting
/// of two ids as unlikely as 1 in 10^18 among 10^10 ids.
public final class IDDigest {
    static let byteCount = 16
    private let digest = RepeatedDigest()

    public init() {}

    /// The id itself, or the first 16 bytes of its SHA-256.
    public func digest(_ id: [UInt8]) -> [UInt8] {
        guard id.count >= Self.byteCount else { return id }
        return Array(id.withUnsafeBytes { digest.sha256($0) }.prefix(Self.byteCount))
    }
}

/// SHA-256 of many texts, one after the other.
private final class RepeatedDigest {
    private let context: OpaquePointer?
    private let algorithm: OpaquePointer?

    init() {
        // Fetched once: OpenSSL 3 looks an algorithm up anew on each implicit use.
        context = EVP_MD_CTX_new()
        algorithm = EVP_MD_fetch(nil, "SHA256", nil)
    }

    deinit {
        EVP_MD_CTX_free(context)
        EVP_MD_free(algorithm)
    }

    func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let status =
            EVP_DigestInit_ex2(context, algorithm, nil)
            & EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
            & EVP_DigestFinal_ex(context, &output, &length)
        precondition(status == 1, "SHA-256 is not available in this OpenSSL")
        return output
    }
}

/// A secret that others are compared with, in a time that tells neither where they differ nor how long it
/// is: digests are compared, which all have one length.
public final class KnownSecret {
    private let digest = RepeatedDigest()
    private let known: [UInt8]

    public init(_ secret: [UInt8]) { known = secret.withUnsafeBytes { sha256($0) } }

    /// Whether it is this secret.
    public func isEqual(to secret: UnsafeRawBufferPointer) -> Bool {
        digest.sha256(secret).withUnsafeBytes { areEqualSecrets($0, known) }
    }
}

/// Whether two secrets, or digests, are equal, in a time that does not depend on where they differ. It does on
/// whether they have one length: that has to be no secret.
public func areEqualSecrets(_ left: UnsafeRawBufferPointer, _ right: [UInt8]) -> Bool {
    left.count == right.count && CRYPTO_memcmp(left.baseAddress, right, left.count) == 0
}

/// SHA-256 of bytes that come in pieces.
public final class StreamingDigest {
    private let context = EVP_MD_CTX_new()
    private var isFine: Bool

    public init() { isFine = EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 }

    deinit { EVP_MD_CTX_free(context) }

    public func update(_ bytes: UnsafeRawBufferPointer) {
        isFine = isFine && EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
    }

    /// The digest of all that came, in lower-case hexadecimal. To be called once.
    public func hexadecimal() -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        isFine = isFine && EVP_DigestFinal_ex(context, &output, &length) == 1
        precondition(isFine, "SHA-256 is not available in this OpenSSL")
        let digits = Array("0123456789abcdef".utf8)
        return output.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }
}
