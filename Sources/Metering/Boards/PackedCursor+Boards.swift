// SPDX-License-Identifier: Apache-2.0

extension PackedCursor {
    /// How many values stand before the meters: lua/include/constants.lua.
    private static let recordHead = 8
    private static let useHead = 3

    /// What a record holds of a meter: in its lifetime, and on the day that it is on. Nil when it
    /// cannot be read.
    static func amounts(
        ofRecord record: [UInt8], _ meter: Value
    ) -> (day: Int, lifetime: Int, ofDay: Int)? {
        record.withUnsafeBytes { bytes in
            var cursor = PackedCursor(bytes)
            guard let count = cursor.array(), count >= recordHead, (count - recordHead) % 3 == 0
            else { return nil }
            for _ in 0..<4 where !cursor.skip() { return nil }
            guard let day = cursor.integer() else { return nil }
            for _ in 5..<recordHead where !cursor.skip() { return nil }
            for _ in 0..<(count - recordHead) / 3 {
                guard let its = cursor.value(), let lifetime = cursor.integer(),
                    let ofDay = cursor.integer()
                else { return nil }
                if its == meter { return (day, lifetime, ofDay) }
            }
            return (day, 0, 0)
        }
    }

    /// What an entry of `use` holds of a meter; nil when it cannot be read.
    static func amount(ofUse entry: [UInt8], _ meter: Value) -> Int? {
        entry.withUnsafeBytes { bytes in
            var cursor = PackedCursor(bytes)
            guard let count = cursor.array(), count >= useHead, (count - useHead) % 2 == 0 else {
                return nil
            }
            for _ in 0..<useHead where !cursor.skip() { return nil }
            for _ in 0..<(count - useHead) / 2 {
                guard let its = cursor.value(), let amount = cursor.integer() else { return nil }
                if its == meter { return amount }
            }
            return 0
        }
    }
}

extension PackedCursor.Value {
    /// A meter as scripts name it: by its code, or its name.
    init(_ meter: Meter) {
        if let code = meter.code {
            self = .integer(code)
        } else {
            self = .string(ByteString(meter.name))
        }
    }
}
