// SPDX-License-Identifier: Apache-2.0

internal import CHiredis
internal import Glibc

/// Arguments of a command, one after the other in one piece of memory. They are bytes with a
/// length and never formats, so whatever they hold stays data.
public struct RedisArguments: Sendable {
    private(set) var arena: [UInt8] = []
    private(set) var lengths: [Int] = []

    public init() {}

    /// Makes room beforehand, for callers who know what they will append.
    public init(minimumCapacity count: Int, bytes: Int) {
        arena.reserveCapacity(bytes)
        lengths.reserveCapacity(count)
    }

    /// How many arguments there are.
    public var count: Int { lengths.count }

    /// Appends one argument.
    public mutating func append(_ bytes: [UInt8]) {
        arena.append(contentsOf: bytes)
        lengths.append(bytes.count)
    }

    /// Appends one argument.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        arena.append(contentsOf: bytes)
        lengths.append(bytes.count)
    }

    /// Appends one argument.
    @_disfavoredOverload
    public mutating func append(_ bytes: some Collection<UInt8>) {
        arena.append(contentsOf: bytes)
        lengths.append(bytes.count)
    }

    /// Appends a text as one argument, in UTF-8.
    public mutating func append(_ text: String) {
        let before = arena.count
        arena.append(contentsOf: text.utf8)
        lengths.append(arena.count - before)
    }

    /// Appends an integer as one argument, in decimal.
    public mutating func append(_ integer: Int) {
        let before = arena.count
        if integer < 0 { arena.append(UInt8(ascii: "-")) }
        let digits = arena.count
        var rest = integer.magnitude
        repeat {
            arena.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        arena[digits...].reverse()
        lengths.append(arena.count - before)
    }

    /// Appends one argument that `body` writes to the end of the memory, piece by piece.
    public mutating func appendComposed(_ body: (inout [UInt8]) -> Void) {
        let before = arena.count
        body(&arena)
        lengths.append(arena.count - before)
    }

    /// Appends all arguments of another list.
    public mutating func append(contentsOf other: RedisArguments) {
        arena.append(contentsOf: other.arena)
        lengths.append(contentsOf: other.lengths)
    }
}

/// A command: its name and its arguments.
public struct RedisCommand: Sendable {
    /// The name and everything after it.
    public var arguments: RedisArguments

    /// A command with no arguments yet. `name` is one word; `SCRIPT LOAD` is `SCRIPT` with the
    /// argument `LOAD`.
    public init(_ name: StaticString) {
        arguments = RedisArguments(minimumCapacity: 4, bytes: 64)
        name.withUTF8Buffer { arguments.append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends one argument.
    public mutating func append(_ bytes: [UInt8]) { arguments.append(bytes) }
    /// Appends one argument.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) { arguments.append(bytes) }
    /// Appends one argument.
    @_disfavoredOverload
    public mutating func append(_ bytes: some Collection<UInt8>) { arguments.append(bytes) }
    /// Appends a text as one argument.
    public mutating func append(_ text: String) { arguments.append(text) }
    /// Appends an integer as one argument.
    public mutating func append(_ integer: Int) { arguments.append(integer) }
}

extension RedisArguments {
    /// Appends `head` and `tail` to `output` as one command on the wire; false without memory.
    static func encode(
        _ head: RedisArguments, _ tail: RedisArguments?, into output: inout [UInt8]
    ) -> Bool {
        let count = head.count + (tail?.count ?? 0)
        return withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: count) {
            pointers in
            withUnsafeTemporaryAllocation(of: Int.self, capacity: count) { lengths in
                head.arena.withUnsafeBytes { first in
                    head.place(first, in: pointers, lengths, from: 0)
                    guard let tail else { return format(pointers, lengths, &output) }
                    return tail.arena.withUnsafeBytes { second in
                        tail.place(second, in: pointers, lengths, from: head.count)
                        return format(pointers, lengths, &output)
                    }
                }
            }
        }
    }

    private func place(
        _ memory: UnsafeRawBufferPointer,
        in pointers: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>,
        _ sizes: UnsafeMutableBufferPointer<Int>, from start: Int
    ) {
        var address = memory.baseAddress?.assumingMemoryBound(to: CChar.self)
        for (index, length) in lengths.enumerated() {
            pointers.initializeElement(at: start + index, to: address)
            sizes.initializeElement(at: start + index, to: length)
            address = address.map { $0 + length }
        }
    }

    private static func format(
        _ pointers: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>,
        _ lengths: UnsafeMutableBufferPointer<Int>, _ output: inout [UInt8]
    ) -> Bool {
        var target: UnsafeMutablePointer<CChar>?
        let size = redisFormatCommandArgv(
            &target, Int32(pointers.count), pointers.baseAddress, lengths.baseAddress)
        guard size >= 0, let target else { return false }
        defer { free(target) }
        output.append(contentsOf: UnsafeRawBufferPointer(start: target, count: Int(size)))
        return true
    }
}
