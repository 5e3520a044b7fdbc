// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// Seals secrets with AES-256-GCM, so that what Redis and snapshots hold of them tells nothing.
///
/// A sealed secret is a byte of version, 12 bytes at random, the cipher text, and a tag of 16 bytes
/// that also holds it to its place: it cannot be opened for another.
public struct SecretBox: Sendable {
    private static let version: UInt8 = 1
    private static let nonceCount = 12
    private static let tagCount = 16

    private let sealingKey: [UInt8]
    private let comparingKey: [UInt8]
    /// Eight bytes that name the key and tell nothing of it.
    public let name: [UInt8]

    /// How long a key is.
    public static let keyByteCount = 32

    /// A key at random; nil when there is no randomness to be had.
    public static func makeKey() -> [UInt8]? {
        var key = [UInt8](repeating: 0, count: keyByteCount)
        return RAND_bytes(&key, Int32(key.count)) == 1 ? key : nil
    }

    /// - Parameters:
    ///   - key: `keyByteCount` bytes at random.
    ///   - purpose: what it seals; boxes of other purposes have nothing in common with it.
    /// - Returns: nil when OpenSSL fails, which it does not.
    public init?(key: [UInt8], purpose: String) {
        // One key for each purpose.
        guard let sealing = Self.authenticator(key, Array("\(purpose): seal".utf8)),
            let comparing = Self.authenticator(key, Array("\(purpose): compare".utf8)),
            let name = Self.authenticator(key, Array("\(purpose): name".utf8))
        else { return nil }
        sealingKey = sealing
        comparingKey = comparing
        self.name = Array(name.prefix(8))
    }

    /// Seals a secret for a place; nil when OpenSSL fails, which it does not.
    public func seal(_ secret: [UInt8], for place: [UInt8]) -> [UInt8]? {
        var nonce = [UInt8](repeating: 0, count: Self.nonceCount)
        guard RAND_bytes(&nonce, Int32(nonce.count)) == 1,
            let context = EVP_CIPHER_CTX_new()
        else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        var text = [UInt8](repeating: 0, count: secret.count)
        var tag = [UInt8](repeating: 0, count: Self.tagCount)
        var length: Int32 = 0
        guard EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, sealingKey, nonce) == 1,
            EVP_EncryptUpdate(context, nil, &length, place, Int32(place.count)) == 1,
            EVP_EncryptUpdate(context, &text, &length, secret, Int32(secret.count)) == 1,
            EVP_EncryptFinal_ex(context, nil, &length) == 1,
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagCount), &tag) == 1
        else { return nil }
        return [Self.version] + nonce + text + tag
    }

    /// The secret; nil for what this box did not seal for this place.
    public func open(_ sealed: [UInt8], for place: [UInt8]) -> [UInt8]? {
        let start = 1 + Self.nonceCount
        guard sealed.first == Self.version, sealed.count >= start + Self.tagCount,
            let context = EVP_CIPHER_CTX_new()
        else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        let end = sealed.count - Self.tagCount
        let (nonce, text) = (Array(sealed[1..<start]), Array(sealed[start..<end]))
        var tag = Array(sealed[end...])
        var secret = [UInt8](repeating: 0, count: text.count)
        var length: Int32 = 0
        guard EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, sealingKey, nonce) == 1,
            EVP_DecryptUpdate(context, nil, &length, place, Int32(place.count)) == 1,
            EVP_DecryptUpdate(context, &secret, &length, text, Int32(text.count)) == 1,
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagCount), &tag) == 1,
            EVP_DecryptFinal_ex(context, nil, &length) == 1
        else { return nil }
        return secret
    }

    /// 16 bytes that are equal for equal texts, and that nobody can compare with texts of his own
    /// without the key; nil when OpenSSL fails, which it does not.
    public func digest(_ text: [UInt8]) -> [UInt8]? {
        Self.authenticator(comparingKey, text).map { Array($0.prefix(16)) }
    }

    /// HMAC-SHA256.
    private static func authenticator(_ key: [UInt8], _ text: [UInt8]) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: 32)
        var count = 0
        guard
            EVP_Q_mac(
                nil, "HMAC", nil, "SHA256", nil, key, key.count, text, text.count, &output,
                output.count, &count) != nil, count == 32
        else { return nil }
        return output
    }
}
