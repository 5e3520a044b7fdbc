// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// Seals secrets with AES-256-GCM, so that what Redis and snapshots hold of them tells nothing.
///
/// A sealed secret is a byte of version, 12 bytes at random, the cipher text, and a tag of 16 bytes
/// that also holds it to its place: it cannot be read under another id, provider or workspace.
struct SecretBox {
    private static let version: UInt8 = 1
    private static let nonceCount = 12
    private static let tagCount = 16

    private let sealingKey: [UInt8]
    private let comparingKey: [UInt8]
    /// Names the key in Redis without telling anything of it.
    let name: [UInt8]

    /// - Parameter key: 32 bytes at random.
    init?(key: [UInt8]) {
        // One key for each purpose.
        guard let sealing = Self.authenticator(key, Array("tally pool: seal".utf8)),
            let comparing = Self.authenticator(key, Array("tally pool: compare".utf8)),
            let name = Self.authenticator(key, Array("tally pool: name".utf8))
        else { return nil }
        sealingKey = sealing
        comparingKey = comparing
        self.name = Array(name.prefix(8))
    }

    /// Nil when OpenSSL fails, which it does not.
    func seal(_ secret: [UInt8], for place: [UInt8]) -> [UInt8]? {
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

    /// Nil for what this box did not seal for this place.
    func open(_ sealed: [UInt8], for place: [UInt8]) -> [UInt8]? {
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

    /// 16 bytes that are equal for equal secrets of one provider, and of which nobody can make out
    /// the secret by trying some without the key.
    func digest(_ secret: [UInt8], of provider: PoolProvider) -> [UInt8]? {
        Self.authenticator(comparingKey, Array(provider.name.utf8) + [0] + secret).map {
            Array($0.prefix(16))
        }
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
