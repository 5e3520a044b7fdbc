// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// How many exports may be sent at the same time, by all loops of a process: each keeps some rows in
/// memory and asks Redis again and again.
final class ExportSlots: Sendable {
    static let countMax = 8

    /// The right to send one; it is given back when nobody holds it any more.
    final class Slot: Sendable {
        private let slots: ExportSlots

        fileprivate init(_ slots: ExportSlots) { self.slots = slots }

        deinit { slots.used.subtract(1, ordering: .relaxed) }
    }

    private let used = Atomic(0)

    /// A slot; nil when all are taken.
    func take() -> Slot? {
        let slot = Slot(self)
        // The one that was refused gives back what it never had.
        return used.add(1, ordering: .relaxed).newValue <= Self.countMax ? slot : nil
    }
}
