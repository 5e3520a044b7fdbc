// SPDX-License-Identifier: Apache-2.0

internal import CAssets

extension Pages {
    private static let document = "index.html"

    static let html = all[document] ?? []

    /// The files beside the document, by their names.
    static let files = all.filter { $0.key != document }

    private static let all: [String: [UInt8]] = {
        var all: [String: [UInt8]] = [:]
        var file = tally_web()
        while let name = file.pointee.name {
            all[String(cString: name)] = Array(
                UnsafeBufferPointer(start: file.pointee.bytes, count: file.pointee.length))
            file += 1
        }
        return all
    }()
}
