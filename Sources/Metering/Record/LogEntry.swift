// SPDX-License-Identifier: Apache-2.0
//
// The log holds every event, a batch an entry. An entry has three fields: `b`, the events as the
// batch was built; `r`, what the script made of them (per subject the position of its previous
// entry, which links the entries of a subject into a list, and its totals); `x`, the events of the
// batch that did not count. The script stores `b` without reading it.

internal import Redis

/// One entry of the log, read back.
struct LogEntry {
    static let version = 1

    /// An event of the entry.
    struct Logged {
        /// Counted from 1, as the script does.
        let place: Int
        let subject: Int
        let event: UsageEvent
        let time: Timestamp
    }

    let position: LogPosition
    let subjects: [ByteString]
    let events: [Logged]
    /// Places of the events that did not count.
    let excluded: Set<Int>
    /// Per subject, the position of its entry before this one; nil for the first.
    let previous: [LogPosition?]
    /// Per subject its totals after the entry, for its meters in the order of `meters`.
    let totals: [[Int]]
    let meters: [[Meter]]

    /// The events of a batch: `[version, subjects with their meters, texts, events]`; actions and
    /// models are named by their index in `texts`, which repeat a lot.
    static func encode(_ batch: EventBatch, _ writer: MessagePackWriter) -> [UInt8] {
        var texts: [ByteString] = []
        var indexOfText: [ByteString: Int] = [:]
        func index(_ text: ByteString) -> Int {
            if let last = texts.last, last == text { return texts.count - 1 }
            if let index = indexOfText[text] { return index }
            indexOfText[text] = texts.count
            texts.append(text)
            return texts.count - 1
        }
        let labels = batch.events.map { (index($0.event.action), index($0.event.model)) }
        writer.array(4)
        writer.integer(version)
        writer.array(batch.subjects.count)
        for subject in batch.subjects {
            writer.array(1 + subject.meters.count)
            writer.string(subject.id.bytes)
            for meter in subject.meters { writer.meter(meter) }
        }
        writer.array(texts.count)
        for text in texts { writer.string(text.bytes) }
        writer.array(batch.events.count)
        for (place, pending) in batch.events.enumerated() {
            encode(pending, subject: batch.subjectOfEvent[place], labels[place], writer)
        }
        return writer.take()
    }

    /// `[subject, time, whether the client gave the time, id, action, model, description, meter,
    /// amount, …]`.
    private static func encode(
        _ pending: PendingEvent, subject: Int, _ labels: (action: Int, model: Int),
        _ writer: MessagePackWriter
    ) {
        let event = pending.event
        writer.array(7 + 2 * event.amounts.count)
        writer.integer(subject)
        writer.integer(pending.time.milliseconds)
        writer.integer(event.time == nil ? 0 : 1)
        if let id = event.id { writer.string(id.bytes) } else { writer.null() }
        writer.integer(labels.action)
        writer.integer(labels.model)
        writer.string(event.description.bytes)
        for (meter, amount) in event.amounts {
            writer.meter(meter)
            writer.integer(amount)
        }
    }

    /// Reads an entry as XRANGE gives it: `[id, [field, value, …]]`. Nil when it is damaged.
    init?(_ value: RedisValue, arrival: CivilDay) {
        guard case .array(let pair) = value, pair.count == 2, let id = pair[0].bytes,
            case .array(let fields) = pair[1], fields.count == 6,
            let number = String(decoding: id, as: UTF8.self).split(separator: "-").last.flatMap({
                Int($0)
            }),
            let blob = fields[1].bytes.flatMap({ MessagePackValue($0) })?.array, blob.count == 4,
            let subjects = blob[1].array, let texts = blob[2].array, let events = blob[3].array,
            let results = fields[3].bytes.flatMap({ MessagePackValue($0) })?.integers,
            let excluded = fields[5].bytes.flatMap({ MessagePackValue($0) })?.array
        else { return nil }
        position = LogPosition(arrival.number * LogPosition.dayStride + number)
        let heads = subjects.compactMap(\.array)
        self.subjects = heads.compactMap { $0.first?.bytes.map { ByteString(bytes: $0) } }
        meters = heads.map { $0.dropFirst().compactMap { Meter($0) } }
        let labels = texts.compactMap { $0.bytes.map { ByteString(bytes: $0) } }
        self.events = events.enumerated().compactMap { place, value in
            Logged(value, place: place + 1, subjects: heads, labels: labels)
        }
        self.excluded = Set(
            stride(from: 0, to: excluded.count, by: 2).compactMap { excluded[$0].integer })
        guard let split = Self.split(results, meters) else { return nil }
        previous = split.map { $0.previous == 0 ? nil : LogPosition($0.previous) }
        totals = split.map(\.totals)
        guard self.subjects.count == heads.count, self.events.count == events.count else {
            return nil
        }
    }

    /// Cuts the script's flat results into those of each subject.
    static func split(_ results: [Int], _ meters: [[Meter]]) -> [(previous: Int, totals: [Int])]? {
        guard results.count == meters.reduce(meters.count, { $0 + $1.count }) else { return nil }
        var place = 0
        return meters.map { meters in
            defer { place += 1 + meters.count }
            return (results[place], Array(results[place + 1..<place + 1 + meters.count]))
        }
    }

    /// The event at a place as it was counted: its id, and the totals right after it.
    func counted(place: Int) -> CountedEvent? {
        guard events.indices.contains(place - 1) else { return nil }
        let logged = events[place - 1]
        let later = events[place...].filter {
            $0.subject == logged.subject && !excluded.contains($0.place)
        }
        let totals = logged.event.amounts.compactMap { meter, _ -> (meter: Meter, total: Int)? in
            guard let index = meters[logged.subject].firstIndex(of: meter) else { return nil }
            let after = later.reduce(0) { sum, other in
                sum + (other.event.amounts.first { $0.0 == meter }?.1 ?? 0)
            }
            return (meter, self.totals[logged.subject][index] - after)
        }
        return CountedEvent(id: logged.event.id ?? position.eventID(place: place), totals: totals)
    }
}

extension LogEntry.Logged {
    fileprivate init?(
        _ value: MessagePackValue, place: Int, subjects: [[MessagePackValue]], labels: [ByteString]
    ) {
        guard let fields = value.array, fields.count >= 7, fields.count % 2 == 1,
            let subject = fields[0].integer, subjects.indices.contains(subject),
            let name = subjects[subject].first?.bytes, let time = fields[1].integer,
            let isGiven = fields[2].integer, let action = fields[4].integer,
            let model = fields[5].integer, labels.indices.contains(action),
            labels.indices.contains(model), let description = fields[6].bytes
        else { return nil }
        let amounts = stride(from: 7, to: fields.count, by: 2).compactMap {
            index -> (Meter, Int)? in
            guard let meter = Meter(fields[index]), let amount = fields[index + 1].integer else {
                return nil
            }
            return (meter, amount)
        }
        self.place = place
        self.subject = subject
        self.time = Timestamp(milliseconds: time)
        event = UsageEvent(
            id: fields[3].bytes.map { ByteString(bytes: $0) }, time: isGiven == 1 ? self.time : nil,
            subject: SubjectID(stored: ByteString(bytes: name)), action: labels[action],
            model: labels[model], description: ByteString(bytes: description), amounts: amounts)
    }
}

extension Meter {
    /// A meter as scripts name it: by code, or by name.
    init?(_ value: MessagePackValue) {
        switch value {
        case .integer(let code): self.init(code: code)
        case .string(let name): self.init(name: name)
        default: return nil
        }
    }
}
