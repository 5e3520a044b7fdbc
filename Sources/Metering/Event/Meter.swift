// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// What is measured, an integer in a base unit: a standard meter, or one of a workspace's own,
/// `[a-z][a-z0-9_]{0,63}`.
public struct Meter: Hashable, Sendable {
    private enum Kind: Hashable, Sendable {
        /// Its code, which stands for it in Redis and must never change.
        case standard(UInt8)
        case custom(ByteString)
    }
    private let kind: Kind

    /// The standard meters; the code of each is its place, counted from 1.
    private static let standardNames: [StaticString] = [
        "input_tokens", "output_tokens", "tokens", "cached_tokens", "messages", "api_calls",
        "files_uploaded", "files_processed", "files_failed", "files_downloaded", "input_bytes",
        "output_bytes", "processing_ms", "credits_micro", "cost_micro",
    ]

    /// All standard meters, in the order of their codes.
    public static let standard: [Meter] = standardNames.indices.map {
        Meter(kind: .standard(UInt8($0 + 1)))
    }

    public static let inputTokens = Meter(kind: .standard(1))
    public static let outputTokens = Meter(kind: .standard(2))
    /// All tokens of an event: those of input and output, and those read from or written to a cache.
    public static let tokens = Meter(kind: .standard(3))
    public static let cachedTokens = Meter(kind: .standard(4))
    public static let messages = Meter(kind: .standard(5))
    public static let apiCalls = Meter(kind: .standard(6))
    public static let filesUploaded = Meter(kind: .standard(7))
    public static let filesProcessed = Meter(kind: .standard(8))
    public static let filesFailed = Meter(kind: .standard(9))
    public static let filesDownloaded = Meter(kind: .standard(10))
    public static let inputBytes = Meter(kind: .standard(11))
    public static let outputBytes = Meter(kind: .standard(12))
    public static let processingMS = Meter(kind: .standard(13))
    /// Millionths of a credit.
    public static let creditsMicro = Meter(kind: .standard(14))
    /// Millionths of a unit of the workspace's currency.
    public static let costMicro = Meter(kind: .standard(15))
    /// Tokens written to a provider's cache.
    static let cacheWriteTokens = Meter(kind: .custom(ByteString("cache_write_tokens")))

    private init(kind: Kind) { self.kind = kind }

    /// Nil when there is no standard meter of this code.
    init?(code: Int) {
        guard (1...Self.standardNames.count).contains(code) else { return nil }
        kind = .standard(UInt8(code))
    }

    /// Nil when the name is no meter's name.
    public init?(name: [UInt8]) {
        guard let meter = name.withUnsafeBufferPointer({ Self(name: $0) }) else { return nil }
        self = meter
    }

    init?(name: UnsafeBufferPointer<UInt8>) {
        if let index = Self.standardNames.firstIndex(where: { $0.equals(name) }) {
            kind = .standard(UInt8(index + 1))
            return
        }
        guard (1...64).contains(name.count), Self.isLetter(name[0]),
            name.allSatisfy({ Self.isLetter($0) || Self.isDigit($0) || $0 == UInt8(ascii: "_") })
        else { return nil }
        kind = .custom(ByteString(name))
    }

    /// The code of a standard meter, nil for others.
    public var code: Int? {
        if case .standard(let code) = kind { Int(code) } else { nil }
    }

    public var name: String {
        switch kind {
        case .standard(let code): Self.standardNames[Int(code) - 1].description
        case .custom(let name): name.text
        }
    }

    /// As Redis and its scripts have it: the code of a standard meter, the name of others.
    var stored: String {
        switch kind {
        case .standard(let code): "\(code)"
        case .custom(let name): name.text
        }
    }

    /// The name of a standard meter, without making a string of it; nil for others.
    public var staticName: StaticString? {
        if case .standard(let code) = kind { Self.standardNames[Int(code) - 1] } else { nil }
    }

    /// Standard meters first, by code; the others by name. The order in which an event keeps its
    /// amounts, so that equal payloads are equal.
    static func precedes(_ left: Meter, _ right: Meter) -> Bool {
        switch (left.kind, right.kind) {
        case (.standard(let left), .standard(let right)): left < right
        case (.standard, .custom): true
        case (.custom, .standard): false
        case (.custom(let left), .custom(let right)): left < right
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}

extension StaticString {
    func equals(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        utf8CodeUnitCount == bytes.count
            && bytes.baseAddress.map { memcmp($0, utf8Start, bytes.count) == 0 } ?? true
    }
}
