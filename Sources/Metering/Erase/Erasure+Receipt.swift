// SPDX-License-Identifier: Apache-2.0
//
// What is left of an erasure that is done, as a line of state.json: see docs/snapshots.md. Its members are
// written one by one, and not as the record has them: while an erasure is under way that knows the person,
// who must not come into a file by it.

internal import JSON

extension Erasure {
    /// Writes the receipt of one that is done. Times are milliseconds since 1970, counts of 0 are left out.
    func writeReceipt(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("id", Array(id.utf8))
        json.member("subject_sha256", Array(digest.utf8))
        json.member("anonymous", anonymous.id.bytes)
        json.member("requested", requestedAt.milliseconds)
        json.member("erased", endedAt?.milliseconds ?? 0)
        json.key("removed")
        json.beginObject()
        for part in ErasedPart.allCases {
            guard let count = removed[part], count != 0 else { continue }
            json.key(bytes: Array(part.name.utf8))
            json.integer(count)
        }
        json.endObject()
        json.member("events", keptEventCount)
        json.key("meters")
        json.beginObject()
        for (meter, total) in kept {
            json.key(bytes: Array(meter.name.utf8))
            json.integer(total)
        }
        json.endObject()
        json.key("append_only_file")
        if let name = appendOnlyFile.name { json.string(name) } else { json.null() }
        if isDemo {
            json.key("demo")
            json.boolean(true)
        }
        if isMerged {
            json.key("merged")
            json.boolean(true)
        }
        json.endObject()
    }

    /// Reads what `writeReceipt` wrote; nil for anything else.
    init?(receipt value: JSONValue) {
        guard let id = value["id"]?.text, Self.isHexadecimal(id, count: 16),
            let digest = value["subject_sha256"]?.text, Self.isHexadecimal(digest, count: 64),
            let anonymous = value["anonymous"]?.text.flatMap({ SubjectID($0) }),
            anonymous.isErased,
            let requested = value["requested"]?.integer, requested > 0,
            let erased = value["erased"]?.integer, erased > 0,
            let removed = value["removed"], removed.kind == .object,
            let kept = UsedAmounts(value), let file = value["append_only_file"],
            let appendOnlyFile = AppendOnlyFile.allCases.first(where: { $0.name == file.text })
        else { return nil }
        (self.id, self.digest, self.anonymous) = (id, digest, anonymous)
        (names, texts, step) = ([], [], .done)
        requestedAt = Timestamp(milliseconds: requested)
        endedAt = Timestamp(milliseconds: erased)
        for (name, count) in removed.members {
            guard let part = ErasedPart.allCases.first(where: { $0.name == name.text }),
                let count = count.integer, count >= 0
            else { return nil }
            self.removed[part] = count
        }
        keptEventCount = kept.events
        self.kept = kept.amounts.map { (meter: $0.key, total: $0.value) }.sorted {
            $0.meter.name < $1.meter.name
        }
        self.appendOnlyFile = appendOnlyFile
        isDemo = value["demo"]?.boolean == true
        if value["merged"]?.boolean == true { endMerged(at: Timestamp(milliseconds: erased)) }
    }

    private static func isHexadecimal(_ text: String, count: Int) -> Bool {
        text.utf8.count == count
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }
}
