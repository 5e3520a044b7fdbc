// SPDX-License-Identifier: Apache-2.0

/// Where Redis is, how to log in, and how long to wait for it.
public struct RedisConfiguration: Sendable {
    /// A place to connect to.
    public enum Address: Sendable, Equatable, CustomStringConvertible {
        case unix(String)
        case tcp(host: String, port: UInt16)

        public var description: String {
            switch self {
            case .unix(let path): "unix://\(path)"
            case .tcp(let host, let port):
                host.contains(":") ? "redis://[\(host)]:\(port)" : "redis://\(host):\(port)"
            }
        }
    }

    /// The longest path of a unix socket that the kernel takes.
    public static let socketPathBytesMax = 107

    public var address: Address
    /// The ACL user; nil means `default`.
    public var user: String?
    public var password: String?
    public var database: Int
    /// The time a command has from sending to its reply.
    public var commandTimeout: Duration = .milliseconds(300)
    /// The time a connection has until it can be used.
    public var connectTimeout: Duration = .seconds(1)
    /// How many commands may wait for replies on one connection.
    public var outstandingMax = 10_000
    /// How much of one reply is held while the rest of it comes in.
    public var replyBytesMax = 64 << 20
    /// Tells why the server does not run, when more is known than that it cannot be connected to, or why what it takes
    /// would be lost.
    public var serverProblem: (@Sendable () -> String?)?

    public init(
        address: Address, user: String? = nil, password: String? = nil, database: Int = 0
    ) {
        self.address = address
        self.user = user
        self.password = password
        self.database = database
    }

    /// Reads `redis://[[user]:password@]host[:port][/database]` or
    /// `unix://[[user]:password@]/path[?db=n]`; any part may be percent-encoded.
    ///
    /// - Throws: what is wrong with it, in words that never repeat the password.
    public init(url: String) throws(RedisURLError) {
        var parser = try RedisURLParser(url)
        self = try parser.configuration()
    }
}

/// Why a Redis URL is refused.
public struct RedisURLError: Error, Sendable, Equatable, CustomStringConvertible {
    public let reason: String
    public var description: String { "Redis URL: \(reason)" }
}

/// Takes a URL apart by its bytes: nothing is guessed or repaired.
struct RedisURLParser {
    private let isUnix: Bool
    private var rest: Substring.UTF8View
    private var database: Int?

    init(_ url: String) throws(RedisURLError) {
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw RedisURLError(
                reason: "spaces, control characters and text outside ASCII are percent-encoded")
        }
        guard let scheme = url.firstRange(of: "://") else {
            throw RedisURLError(reason: "starts with redis:// or unix://")
        }
        switch url[..<scheme.lowerBound].lowercased() {
        case "redis": isUnix = false
        case "unix": isUnix = true
        case "rediss":
            throw RedisURLError(
                reason: "rediss:// asks for TLS, which is not available in this build; use a"
                    + " TLS tunnel on this host and redis:// or unix:// to it")
        default: throw RedisURLError(reason: "the scheme is redis or unix")
        }
        rest = url[scheme.upperBound...].utf8
    }

    mutating func configuration() throws(RedisURLError) -> RedisConfiguration {
        guard !rest.contains(UInt8(ascii: "#")) else {
            throw RedisURLError(reason: "has a fragment; write %23 for a #")
        }
        try takeQuery()
        let end = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
        var authority = rest[..<end]
        let path = rest[end...]
        var login: (user: String?, password: String?) = (nil, nil)
        if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
            login = try Self.login(authority[..<at])
            authority = authority[authority.index(after: at)...]
        }
        let address: RedisConfiguration.Address
        if isUnix {
            address = try Self.socket(host: authority, path: path)
        } else {
            address = try Self.host(authority)
            try takeDatabase(path)
        }
        return RedisConfiguration(
            address: address, user: login.user, password: login.password, database: database ?? 0)
    }

    private mutating func takeQuery() throws(RedisURLError) {
        guard let mark = rest.firstIndex(of: UInt8(ascii: "?")) else { return }
        let query = rest[rest.index(after: mark)...]
        rest = rest[..<mark]
        for pair in query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) {
            guard pair.starts(with: "db=".utf8) else {
                throw RedisURLError(reason: "the only parameter is db")
            }
            database = try Self.database(pair.dropFirst(3), replacing: database)
        }
    }

    private mutating func takeDatabase(_ path: Substring.UTF8View) throws(RedisURLError) {
        let digits = path.dropFirst()
        guard !digits.isEmpty else { return }
        database = try Self.database(digits, replacing: database)
    }

    private static func database(
        _ digits: Substring.UTF8View, replacing old: Int?
    ) throws(RedisURLError) -> Int {
        guard old == nil else { throw RedisURLError(reason: "names the database twice") }
        guard let number = number(digits, max: 65_535) else {
            throw RedisURLError(reason: "the database is a number from 0 to 65535")
        }
        return number
    }

    private static func number(_ digits: Substring.UTF8View, max: Int) -> Int? {
        guard (1...5).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return Int(Substring(digits)).flatMap { $0 <= max ? $0 : nil }
    }

    private static func login(
        _ text: Substring.UTF8View
    ) throws(RedisURLError) -> (user: String?, password: String?) {
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else {
            throw RedisURLError(
                reason: "has a user without a password; for a password alone write :password@")
        }
        let user = try decoded(text[..<colon], "user")
        let password = try decoded(text[text.index(after: colon)...], "password")
        guard !password.isEmpty else { throw RedisURLError(reason: "the password is empty") }
        return (user.isEmpty ? nil : user, password)
    }

    private static func host(
        _ text: Substring.UTF8View
    ) throws(RedisURLError) -> RedisConfiguration.Address {
        var name = text
        var port: Substring.UTF8View?
        if text.first == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")) else {
                throw RedisURLError(reason: "the [ of the IPv6 address is not closed")
            }
            name = text[..<close].dropFirst()
            guard name.contains(UInt8(ascii: ":")), name.allSatisfy(isAddressByte) else {
                throw RedisURLError(reason: "between [ and ] stands an IPv6 address")
            }
            let tail = text[close...].dropFirst()
            guard tail.isEmpty || tail.first == UInt8(ascii: ":") else {
                throw RedisURLError(reason: "after ] comes a port or nothing")
            }
            port = tail.isEmpty ? nil : tail.dropFirst()
        } else if let colon = text.firstIndex(of: UInt8(ascii: ":")) {
            name = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        let host = try decoded(name, "host")
        guard !host.isEmpty else { throw RedisURLError(reason: "names no host") }
        guard host.utf8.count <= 255, host.utf8.allSatisfy(isAddressByte) else {
            throw RedisURLError(reason: "the host is no name or address; IPv6 stands in [ ]")
        }
        guard let port else { return .tcp(host: host, port: 6379) }
        guard let number = number(port, max: 65_535), number > 0 else {
            throw RedisURLError(reason: "the port is a number from 1 to 65535")
        }
        return .tcp(host: host, port: UInt16(number))
    }

    private static func socket(
        host: Substring.UTF8View, path: Substring.UTF8View
    ) throws(RedisURLError) -> RedisConfiguration.Address {
        guard host.isEmpty else {
            throw RedisURLError(reason: "unix:// takes a full path, such as unix:///run/redis.sock")
        }
        let path = try decoded(path, "path")
        guard path.utf8.count > 1 else { throw RedisURLError(reason: "names no socket") }
        let max = RedisConfiguration.socketPathBytesMax
        guard path.utf8.count <= max else {
            throw RedisURLError(
                reason: "the socket's path has \(path.utf8.count) bytes, the system takes \(max)")
        }
        return .unix(path)
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "-._:%".utf8.contains(byte)
        }
    }

    private static func decoded(
        _ text: Substring.UTF8View, _ part: String
    ) throws(RedisURLError) -> String {
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(Substring(digits), radix: 16),
                digits.first != UInt8(ascii: "+")
            else { throw RedisURLError(reason: "a % in the \(part) stands before two hex digits") }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw RedisURLError(reason: "the \(part) is no text once decoded")
        }
        return decoded
    }
}
