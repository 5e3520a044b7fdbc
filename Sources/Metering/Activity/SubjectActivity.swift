// SPDX-License-Identifier: Apache-2.0

/// What a subject did with files and calls, ever. Zeros where nothing was counted.
public struct SubjectActivity: Sendable {
    /// How the meters begin that count uploads by their type of processing.
    static let typePrefix = Array("processing_type_".utf8)

    public internal(set) var filesUploaded = 0
    public internal(set) var filesProcessed = 0
    public internal(set) var filesFailed = 0
    public internal(set) var filesDownloaded = 0
    public internal(set) var inputBytes = 0
    public internal(set) var outputBytes = 0
    public internal(set) var processingMS = 0
    public internal(set) var apiCalls = 0
    /// Uploads by type of processing, in the order of the types' bytes.
    public internal(set) var types: [(name: ByteString, count: Int)] = []
    public internal(set) var times = ActivityTimes()

    public init() {}

    init(totals: some Sequence<(Meter, Int)>) {
        for (meter, total) in totals {
            switch meter {
            case .filesUploaded: filesUploaded = total
            case .filesProcessed: filesProcessed = total
            case .filesFailed: filesFailed = total
            case .filesDownloaded: filesDownloaded = total
            case .inputBytes: inputBytes = total
            case .outputBytes: outputBytes = total
            case .processingMS: processingMS = total
            case .apiCalls: apiCalls = total
            default:
                guard let type = meter.processingType, total > 0 else { continue }
                types.append((type, total))
            }
        }
        types.sort { $0.name < $1.name }
    }
}

/// When a subject did something first or last; nil for never.
public struct ActivityTimes: Sendable, Equatable {
    public internal(set) var firstUpload: Timestamp?
    public internal(set) var lastUpload: Timestamp?
    public internal(set) var lastDownload: Timestamp?
    public internal(set) var lastCall: Timestamp?

    init() {}

    /// Takes an event that was counted into account, in whatever order they come.
    mutating func add(_ event: UsageEvent, at time: Timestamp) {
        for (meter, amount) in event.amounts where amount > 0 {
            switch meter {
            case .filesUploaded:
                firstUpload = min(firstUpload ?? time, time)
                lastUpload = max(lastUpload ?? time, time)
            case .filesDownloaded: lastDownload = max(lastDownload ?? time, time)
            case .apiCalls: lastCall = max(lastCall ?? time, time)
            default: break
            }
        }
    }

    /// In the order of lua/follow_usage.lua: 0 for never.
    var milliseconds: [Int] {
        [firstUpload, lastUpload, lastDownload, lastCall].map { $0?.milliseconds ?? 0 }
    }

    /// Reads what `milliseconds` wrote; nil when it is damaged.
    init?(_ bytes: [UInt8]) {
        guard let values = MessagePackValue(bytes)?.integers, values.count == 4 else { return nil }
        let times = values.map { $0 == 0 ? nil : Timestamp(milliseconds: $0) }
        (firstUpload, lastUpload, lastDownload, lastCall) = (times[0], times[1], times[2], times[3])
    }
}

/// What everybody in a workspace did, ever.
public struct WorkspaceActivity: Sendable {
    /// Subjects of which something was counted.
    public let userCount: Int
    public let guestCount: Int
    /// Sums over all days. Times and averages are of no use here.
    public let sums: SubjectActivity
    /// What could not be read, and is in no sum.
    public let warnings: [String]
}

extension Meter {
    /// The longest type of processing: the rest of a meter's name.
    public static let processingTypeBytesMax = 64 - SubjectActivity.typePrefix.count

    /// The meter that counts uploads of a type; nil when it is no type: 1 to 48 of a-z, 0-9 and _.
    public init?(processingType type: ByteString) {
        guard !type.bytes.isEmpty,
            let meter = Meter(name: SubjectActivity.typePrefix + type.bytes)
        else { return nil }
        self = meter
    }

    /// The type whose uploads it counts; nil for other meters.
    var processingType: ByteString? {
        guard code == nil else { return nil }
        let bytes = Array(name.utf8)
        guard bytes.starts(with: SubjectActivity.typePrefix),
            bytes.count > SubjectActivity.typePrefix.count
        else { return nil }
        return ByteString(bytes: Array(bytes.dropFirst(SubjectActivity.typePrefix.count)))
    }
}
