// SPDX-License-Identifier: Apache-2.0
//
// Where a service of ours may connect to when somebody else names the place. A name is resolved by who
// connects, and the address that it connects to is what is judged: a name that means another address a
// moment later leads nowhere else.

internal import CCurl
internal import Glibc

/// A URL that a stranger gave us, and addresses that it may lead to.
struct Destination {
    let host: String
    let port: UInt16

    /// Ports below this one are of services that speak something else, but for those of the web.
    private static let unprivilegedPort = 1024

    /// Reads a URL as libcurl reads it.
    ///
    /// - Parameter isTrusted: whether it may lead anywhere, also without TLS.
    /// - Throws: `Fault` with what is wrong.
    init(_ url: String, isTrusted: Bool) throws(Fault) {
        let parts = try Parts(url)
        guard parts.scheme == "https" || isTrusted && parts.scheme == "http" else {
            throw Fault("only https: is allowed")
        }
        guard !parts.hasUser else {
            throw Fault("a URL with a user or password is not allowed")
        }
        guard !parts.hasFragment else {
            throw Fault("a URL with a fragment is not allowed")
        }
        // This machine, whether its resolver knows that or not (RFC 6761, 6.3).
        let labels = parts.host.lowercased().split(separator: ".")
        guard isTrusted || labels.last != "localhost" else {
            throw Fault("the host is this machine")
        }
        guard isTrusted || parts.port == 443 || parts.port >= Self.unprivilegedPort else {
            throw Fault("port \(parts.port) is not allowed")
        }
        host = parts.host
        port = parts.port
    }

    /// Reads the URL of a server that is ours.
    init(ownServer url: String) throws(Fault) {
        let parts = try Parts(url)
        host = parts.host
        port = parts.port
    }

    private struct Parts {
        let scheme: String
        let host: String
        let port: UInt16
        let hasUser: Bool
        let hasFragment: Bool

        init(_ url: String) throws(Fault) {
            guard let handle = curl_url() else { throw Fault("there is no memory") }
            defer { curl_url_cleanup(handle) }
            guard curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK else {
                throw Fault("this is no URL with a host")
            }
            func part(_ part: CURLUPart, _ flags: UInt32 = 0) -> String? {
                var text: UnsafeMutablePointer<CChar>?
                guard curl_url_get(handle, part, &text, flags) == CURLUE_OK, let text else {
                    return nil
                }
                defer { curl_free(text) }
                return String(cString: text)
            }
            guard var host = part(CURLUPART_HOST), !host.isEmpty,
                let port = part(CURLUPART_PORT, UInt32(CURLU_DEFAULT_PORT)).flatMap({ UInt16($0) }),
                port > 0
            else { throw Fault("this is no URL with a host") }
            if host.hasPrefix("["), host.hasSuffix("]") {
                host = String(host.dropFirst().dropLast())
            }
            self.host = host
            self.port = port
            scheme = part(CURLUPART_SCHEME) ?? ""
            hasUser = part(CURLUPART_USER) != nil || part(CURLUPART_PASSWORD) != nil
            hasFragment = part(CURLUPART_FRAGMENT) != nil
        }
    }

    /// Why a URL cannot be used.
    struct Fault: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    /// Whether the host is an address, and no name.
    var isAddress: Bool {
        var bytes = [UInt8](repeating: 0, count: 16)
        return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1
    }

    /// Whether it leads to this machine, by its name or address alone: nothing is looked up.
    var isThisMachine: Bool {
        if host.lowercased().split(separator: ".").last == "localhost" { return true }
        var bytes = [UInt8](repeating: 0, count: 16)
        // The addresses without any bit connect to it, too.
        if inet_pton(AF_INET, host, &bytes) == 1 {
            return bytes[0] == 127 || bytes.allSatisfy { $0 == 0 }
        }
        guard inet_pton(AF_INET6, host, &bytes) == 1 else { return false }
        if bytes.starts(with: Self.mapped) { return bytes[12] == 127 }
        return bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] <= 1
    }

    /// Of addresses of IPv4 that are written as such of IPv6.
    private static let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    // MARK: Addresses

    /// Whether a socket address is one of the public internet: neither this machine nor its network,
    /// nor one for special purposes (RFC 6890 and the registries of IANA).
    static func isPublic(_ address: UnsafeRawBufferPointer) -> Bool {
        guard address.count >= MemoryLayout<sa_family_t>.size else { return false }
        switch Int32(address.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET:
            guard let offset = MemoryLayout<sockaddr_in>.offset(of: \.sin_addr),
                address.count >= offset + 4
            else { return false }
            return isPublic(ipv4: Array(address[offset..<offset + 4]))
        case AF_INET6:
            guard let offset = MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr),
                address.count >= offset + 16
            else { return false }
            return isPublic(ipv6: Array(address[offset..<offset + 16]))
        default: return false
        }
    }

    /// Networks of IPv4 that are not public: address, length of the prefix.
    private static let closed4: [(UInt32, Int)] = [
        (0x0000_0000, 8), (0x0a00_0000, 8), (0x6440_0000, 10), (0x7f00_0000, 8),
        (0xa9fe_0000, 16), (0xac10_0000, 12), (0xc000_0000, 24), (0xc000_0200, 24),
        (0xc058_6300, 24), (0xc0a8_0000, 16), (0xc612_0000, 15), (0xc633_6400, 24),
        (0xcb00_7100, 24), (0xe000_0000, 4), (0xf000_0000, 4),
    ]

    static func isPublic(ipv4 bytes: [UInt8]) -> Bool {
        let address = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return !closed4.contains { network, length in
            (address ^ network) >> UInt32(32 - length) == 0
        }
    }

    /// Only 2000::/3 is given out; and of that neither special purposes (2001::/23, with Teredo),
    /// examples (2001:db8::/32, 3fff::/20) nor 6to4 (2002::/16), which leads to any address of IPv4.
    static func isPublic(ipv6 bytes: [UInt8]) -> Bool {
        guard bytes.count == 16, bytes[0] & 0xe0 == 0x20 else { return false }
        let head = bytes[0..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let closed: [(UInt32, Int)] = [
            (0x2001_0000, 23), (0x2001_0db8, 32), (0x2002_0000, 16), (0x3fff_0000, 20),
        ]
        return !closed.contains { network, length in
            (head ^ network) >> UInt32(32 - length) == 0
        }
    }
}

extension Destination {
    /// A socket that no child process gets.
    static func openSocket(_ family: Int32, _ type: Int32, _ protocol: Int32) -> Int32 {
        socket(family, type | Int32(SOCK_CLOEXEC.rawValue), `protocol`)
    }
}
