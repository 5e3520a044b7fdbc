// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A number that only grows.
public final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    /// A counter at zero.
    public init() {}

    /// Adds to the counter. From any thread.
    public func add(_ amount: Int = 1) { value.wrappingAdd(amount, ordering: .relaxed) }

    /// The count now.
    public var current: Int { value.load(ordering: .relaxed) }
}

/// A number that goes up and down.
public final class Gauge: Sendable {
    private let value = Atomic<Int>(0)

    /// A gauge at zero.
    public init() {}

    /// Adds to the gauge; a negative amount takes away. From any thread.
    public func add(_ amount: Int) { value.wrappingAdd(amount, ordering: .relaxed) }

    /// Sets the gauge. From any thread.
    public func set(_ amount: Int) { value.store(amount, ordering: .relaxed) }

    /// The value now.
    public var current: Int { value.load(ordering: .relaxed) }
}

/// Counts observations in buckets of powers of two, from 1 to 2^23.
///
/// The unit is the caller's (microseconds, events); `scale` turns it into the unit that is
/// published, for example 1e-6 for seconds.
public final class Histogram: Sendable {
    static let bucketCount = 24
    let scale: Double
    private let buckets: [Counter]
    private let sum = Atomic<Int>(0)

    /// A histogram without observations.
    public init(scale: Double) {
        self.scale = scale
        buckets = (0...Self.bucketCount).map { _ in Counter() }
    }

    /// Counts one observation. O(1), from any thread.
    public func observe(_ value: Int) {
        let index =
            value <= 1 ? 0 : min(Self.bucketCount, Int.bitWidth - (value - 1).leadingZeroBitCount)
        buckets[index].add()
        sum.wrappingAdd(max(0, value), ordering: .relaxed)
    }

    var snapshot: (cumulative: [Int], sum: Int) {
        var total = 0
        return (
            buckets.map {
                total += $0.current; return total
            }, sum.load(ordering: .relaxed)
        )
    }
}

/// Named metrics, and their text in Prometheus' exposition format 0.0.4.
///
/// A metric is made once, at start, and kept by whoever counts with it; asking again for the same
/// name and labels gives the same object. A name that is not well formed, and a name asked for as
/// two types, are mistakes of the program and stop it at start.
public final class MetricsRegistry: Sendable {
    private enum Kind: Sendable {
        case counter(Counter), gauge(Gauge), histogram(Histogram)
        case computed(@Sendable () -> Double)

        var type: String {
            switch self {
            case .counter: "counter"
            case .gauge, .computed: "gauge"
            case .histogram: "histogram"
            }
        }
    }
    private struct Family: Sendable {
        var help: String
        var type: String
        var members: [String: Kind] = [:]
    }
    private let families = Mutex<[String: Family]>([:])

    /// A registry without metrics.
    public init() {}

    /// The counter of this name and these labels. By custom its name ends with `_total`.
    public func counter(_ name: String, help: String, labels: KeyValuePairs<String, String> = [:])
        -> Counter
    {
        let made = add(name, help, labels) { .counter(Counter()) }
        guard case .counter(let counter) = made else {
            preconditionFailure("\(name) is no counter")
        }
        return counter
    }

    /// The gauge of this name and these labels.
    public func gauge(_ name: String, help: String, labels: KeyValuePairs<String, String> = [:])
        -> Gauge
    {
        let made = add(name, help, labels) { .gauge(Gauge()) }
        guard case .gauge(let gauge) = made else { preconditionFailure("\(name) is no gauge") }
        return gauge
    }

    /// The histogram of this name and these labels; `scale` as in `Histogram`.
    public func histogram(
        _ name: String, help: String, scale: Double, labels: KeyValuePairs<String, String> = [:]
    ) -> Histogram {
        let made = add(name, help, labels) { .histogram(Histogram(scale: scale)) }
        guard case .histogram(let histogram) = made else {
            preconditionFailure("\(name) is no histogram")
        }
        return histogram
    }

    /// A gauge whose value is computed when the metrics are read.
    public func computed(
        _ name: String, help: String, labels: KeyValuePairs<String, String> = [:],
        _ value: @escaping @Sendable () -> Double
    ) {
        _ = add(name, help, labels) { .computed(value) }
    }

    private func add(
        _ name: String, _ help: String, _ labels: KeyValuePairs<String, String>, _ make: () -> Kind
    ) -> Kind {
        precondition(Self.isName(name), "\(name) is no name of a metric")
        precondition(
            labels.allSatisfy { Self.isName($0.key) && !$0.key.contains(":") && $0.key != "le" },
            "a label of \(name) is not well formed")
        // In order of their names, so that the same labels always are the same metric.
        let key = labels.sorted { $0.key < $1.key }
            .map { "\($0.key)=\"\(Self.escaped($0.value, quotes: true))\"" }
            .joined(separator: ",")
        return families.withLock { families in
            if let kind = families[name]?.members[key] { return kind }
            let kind = make()
            let type = families[name]?.type ?? kind.type
            precondition(type == kind.type, "\(name) is a \(type)")
            families[name, default: Family(help: help, type: type)].members[key] = kind
            return kind
        }
    }

    /// All metrics as text, names and labels in order.
    public func text() -> String {
        var text = ""
        for (name, family) in families.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            text += "# HELP \(name) \(Self.escaped(family.help, quotes: false))\n"
            text += "# TYPE \(name) \(family.type)\n"
            for (labels, kind) in family.members.sorted(by: { $0.key < $1.key }) {
                text += Self.lines(name, labels, kind)
            }
        }
        return text
    }

    private static func lines(_ name: String, _ labels: String, _ kind: Kind) -> String {
        let suffix = labels.isEmpty ? "" : "{\(labels)}"
        switch kind {
        case .counter(let counter): return "\(name)\(suffix) \(counter.current)\n"
        case .gauge(let gauge): return "\(name)\(suffix) \(gauge.current)\n"
        case .computed(let value): return "\(name)\(suffix) \(number(value()))\n"
        case .histogram(let histogram):
            let (cumulative, sum) = histogram.snapshot
            let lead = labels.isEmpty ? "" : labels + ","
            var text = ""
            for (index, count) in cumulative.enumerated() {
                let bound =
                    index == Histogram.bucketCount
                    ? "+Inf" : number(scaled(1 << index, histogram.scale))
                text += "\(name)_bucket{\(lead)le=\"\(bound)\"} \(count)\n"
            }
            text += "\(name)_sum\(suffix) \(number(scaled(sum, histogram.scale)))\n"
            return text + "\(name)_count\(suffix) \(cumulative.last ?? 0)\n"
        }
    }

    /// A division where the scale is a fraction: 3 / 1e6 is the number nearest to 3e-6, where
    /// 3 * 1e-6 may be its neighbour with 17 digits.
    private static func scaled(_ value: Int, _ scale: Double) -> Double {
        scale < 1 ? Double(value) / (1 / scale).rounded() : Double(value) * scale
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return "\(value)"
    }

    private static func isName(_ name: String) -> Bool {
        var bytes = name.utf8.makeIterator()
        guard let first = bytes.next(), isLetter(first) else { return false }
        while let byte = bytes.next() {
            guard isLetter(byte) || (0x30...0x39).contains(byte) else { return false }
        }
        return true
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "_"), UInt8(ascii: ":"): true
        default: false
        }
    }

    private static func escaped(_ value: String, quotes: Bool) -> String {
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
