// SPDX-License-Identifier: Apache-2.0

extension JSONWriter {
    /// Writes a value that was read: numbers as they were sent, strings with the escapes that they
    /// need. What a writer has written, and was read, is written the same way.
    ///
    /// - Parameter names: members whose values are nobody's business: `"hidden"`, unless they are null.
    public mutating func value(_ value: JSONValue, hiding names: Set<String> = []) {
        switch value.kind {
        case .null: null()
        case .true: boolean(true)
        case .false: boolean(false)
        case .number: raw(value.number.map { Array($0) } ?? [])
        case .string: string(bytes: value.string.map { Array($0) } ?? [])
        case .array:
            beginArray()
            for element in value.elements { self.value(element, hiding: names) }
            endArray()
        case .object:
            beginObject()
            for (name, member) in value.members {
                key(bytes: Array(name.bytes))
                if names.contains(name.text), !member.isNull {
                    string("hidden" as StaticString)
                } else {
                    self.value(member, hiding: names)
                }
            }
            endObject()
        }
    }
}
