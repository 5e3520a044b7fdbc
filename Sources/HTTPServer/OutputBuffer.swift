// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// What a connection has to send, first in, first out.
///
/// Memory of its own rather than an array: an answer is put together from a dozen pieces, and an
/// array that is a member of an object checks before each of them whether it is shared and whether
/// somebody else has it in hand.
final class OutputBuffer {
    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    private var start = 0
    private var end = 0
    /// How much was ever taken off.
    private var taken = 0
    /// Where answers end, counted from the first byte that was ever appended.
    private var ends: [Int] = []

    deinit { free(memory) }

    /// How many bytes are left to send.
    var count: Int { end - start }

    /// The bytes that are left to send; they stand until the buffer is changed.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory.map { $0 + start }, count: end - start)
    }

    func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        memcpy(room(for: bytes.count), source, bytes.count)
        end += bytes.count
    }

    func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends a number that is not negative, in decimal.
    func append(_ number: Int) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        let target = room(for: 20)
        var length = 0
        while divisor > 0 {
            target.storeBytes(
                of: UInt8(0x30 + number / divisor % 10), toByteOffset: length, as: UInt8.self)
            length += 1
            divisor /= 10
        }
        end += length
    }

    /// Notes that an answer ends here. Small ones count as one with what follows, so that a usual
    /// one needs no memory for it.
    func endAnswer() {
        guard taken + count - (ends.last ?? taken) >= 16 * 1024 else { return }
        ends.append(taken + count)
    }

    /// Takes off what was sent. A large answer's memory is given back, a usual one's is used again.
    ///
    /// - Returns: whether an answer that was noted has gone with it.
    func removeFirst(_ sent: Int) -> Bool {
        precondition((0...count).contains(sent), "more was sent than was there")
        start += sent
        taken += sent
        if start == end { giveBack() }
        guard let first = ends.first, first <= taken else { return false }
        ends.removeFirst(ends.prefix { $0 <= taken }.count)
        return true
    }

    private func giveBack() {
        if capacity > 16 * 1024 {
            removeAll()
        } else {
            start = 0
            end = 0
        }
    }

    /// Forgets everything and gives the memory back.
    func removeAll() {
        free(memory)
        memory = nil
        capacity = 0
        start = 0
        end = 0
    }

    /// Where the next bytes go; there is room for so many.
    private func room(for added: Int) -> UnsafeMutableRawPointer {
        if let memory, added <= capacity - end { return memory + end }
        return makeRoom(for: added)
    }

    @inline(never)
    private func makeRoom(for added: Int) -> UnsafeMutableRawPointer {
        let kept = count
        // What was sent is overwritten once it is as much as what is left: each byte moves once.
        if let memory, start >= kept, added <= capacity - kept {
            memcpy(memory, memory + start, kept)
        } else {
            capacity = max(512, 2 * capacity, kept + added)
            guard let larger = malloc(capacity) else { fatalError("out of memory") }
            if let memory { memcpy(larger, memory + start, kept) }
            free(memory)
            memory = larger
        }
        start = 0
        end = kept
        guard let memory else { fatalError("no memory was made") }
        return memory + kept
    }
}
