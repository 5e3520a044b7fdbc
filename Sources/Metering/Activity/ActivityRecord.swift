// SPDX-License-Identifier: Apache-2.0
//
// When a subject did something, as a line of state.json: see docs/snapshots.md. Times are
// milliseconds since 1970, 0 for never.

internal import JSON

/// First and last times of a subject as Redis keeps them.
struct ActivityRecord {
    let subject: [UInt8]
    /// First upload, last upload, last download, last call.
    let times: [Int]

    /// Reads a field of Redis; nil when it is damaged.
    init?(_ subject: [UInt8], packed: [UInt8]) {
        guard let times = ActivityTimes(packed) else { return nil }
        self.subject = subject
        self.times = times.milliseconds
    }

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject)
        json.member("first_upload", times[0])
        json.member("last_upload", times[1])
        json.member("last_download", times[2])
        json.member("last_call", times[3])
        json.endObject()
    }

    /// Reads what `write` wrote; nil for anything else.
    init?(_ value: JSONValue) {
        guard let subject = value["subject"]?.string,
            let firstUpload = value["first_upload"]?.integer,
            let lastUpload = value["last_upload"]?.integer,
            let lastDownload = value["last_download"]?.integer,
            let lastCall = value["last_call"]?.integer
        else { return nil }
        self.subject = Array(subject)
        times = [firstUpload, lastUpload, lastDownload, lastCall]
    }
}
