// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// How many answers of a kind may be sent at the same time, by all loops of a process, where each keeps
/// something in memory and asks Redis again and again.
final class AnswerSlots: Sendable {
    let countMax: Int
    private let used = Atomic(0)

    init(_ countMax: Int) { self.countMax = countMax }

    /// The right to send one; it is given back when nobody holds it any more.
    final class Slot: Sendable {
        private let slots: AnswerSlots

        fileprivate init(_ slots: AnswerSlots) { self.slots = slots }

        deinit { slots.used.subtract(1, ordering: .relaxed) }
    }

    /// A slot; nil when all are taken.
    func take() -> Slot? {
        let slot = Slot(self)
        // The one that was refused gives back what it never had.
        return used.add(1, ordering: .relaxed).newValue <= countMax ? slot : nil
    }
}
