// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Synchronization

/// How often guests may ask from one address: a token bucket for each, in this process only, since
/// nothing that is counted rests on it. Guests have nothing but an id that they made up, so that
/// only their address tells them apart. Shared by the loops.
public final class GuestLimiter: Sendable {
    private static let addressCountMax = 10_000

    private struct Bucket {
        var tokens: Double
        var atUS: Int
    }

    private let perMinute: Double
    private let buckets = Mutex<[String: Bucket]>([:])

    /// - Parameter perMinute: 1 to 1,000,000 requests a minute, and as many at once.
    public init(perMinute: Int = 60) { self.perMinute = Double(max(1, min(perMinute, 1_000_000))) }

    /// Takes a request of an address into account.
    ///
    /// - Parameter atUS: the time, in microseconds of a clock that does not jump.
    /// - Returns: nil if it may pass, else the whole seconds after which one may.
    public func wait(of address: String, atUS: Int) -> Int? {
        let address = Self.network(of: address)
        return buckets.withLock { buckets in
            if buckets[address] == nil, buckets.count >= Self.addressCountMax {
                // Who is full by now needs no bucket. With so many others, all begin anew.
                buckets = buckets.filter { refilled($0.value, atUS) < perMinute }
                if buckets.count >= Self.addressCountMax { buckets = [:] }
            }
            let bucket = buckets[address]
            let tokens = bucket.map { refilled($0, atUS) } ?? perMinute
            let isAdmitted = tokens >= 1
            buckets[address] = Bucket(tokens: isAdmitted ? tokens - 1 : tokens, atUS: atUS)
            return isAdmitted ? nil : max(1, Int(((1 - tokens) * 60 / perMinute).rounded(.up)))
        }
    }

    /// Who has one address of IPv6 has the 2^64 beside it, too: they are one.
    static func network(of address: String) -> String {
        guard address.contains(":"), !address.contains(".") else { return address }
        let halves = address.split(separator: "::", omittingEmptySubsequences: false)
        let parts = halves.map { $0.split(separator: ":").map(String.init) }
        let missing = halves.count == 2 ? 8 - parts.reduce(0) { $0 + $1.count } : 0
        let zeros = Array(repeating: "0", count: max(0, missing))
        return (parts[0] + zeros + (parts.last ?? [])).prefix(4).joined(separator: ":")
    }

    private func refilled(_ bucket: Bucket, _ atUS: Int) -> Double {
        let elapsed = Double(max(0, atUS - bucket.atUS)) / 60_000_000
        return min(perMinute, bucket.tokens + elapsed * perMinute)
    }
}

extension HTTPProblem {
    static func tooManyGuestRequests(_ seconds: Int) -> HTTPProblem {
        var problem = HTTPProblem(
            .tooManyRequests, code: "too_many_requests",
            detail: "guests of this address ask too often; wait \(seconds) s")
        problem.headers = [(name: "Retry-After", value: "\(seconds)")]
        return problem
    }
}
