// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import TestSupport
import Testing

/// Boards of windows of which a day's file cannot be read.
@Suite(.timeLimit(.minutes(15))) struct DamagedBoardTests {
    private static let window = "window=2026-11-20..2026-11-26"
    private static let path = "/v1/leaderboards/tokens"

    private static func files(_ data: String) -> [String] {
        ["2026-11-20", "2026-11-21"].map { "\(data)/rollups/default/2026/\($0).json" }
    }

    /// The subjects with what they used, once there are so many warnings.
    private static func board(
        _ harness: Harness, withWarnings count: Int, _ pause: () async -> Void
    ) async -> [String] {
        var answer = await harness.get(path, query: window)
        for _ in 0..<200 where (answer.json["warnings"] as? [String] ?? []).count != count {
            await pause()
            answer = await harness.get(path, query: window)
        }
        #expect((answer.json["warnings"] as? [String] ?? []).count == count, "\(answer.text)")
        return (answer.json["entries"] as? [[String: Any]] ?? []).map {
            "\($0["subject"] ?? "") \($0["value"] ?? "")"
        }
    }

    @Test(arguments: [true, false])
    func `A board that lacked days is built anew when they can be read again`(isMissing: Bool)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let data = try makeTemporaryFolder()
                defer { removeFolder(data) }
                let harness = await Harness(
                    redis, on: host.loop, data: data, settings: ColdDayTests.settings)
                let pause = { await host.loop.sleep(for: .milliseconds(100)) }
                let sent = await harness.post(
                    """
                    [{"subject":"a","time":"2026-11-20T10:00:00Z","meters":{"tokens":7}},
                    {"subject":"b","meters":{"tokens":5}}]
                    """)
                #expect(sent.json["counted"] as? Int == 2, "\(sent.text)")
                try await ColdDayTests.evict(redis, on: host.loop, harness, data)
                #expect(try redis.request("HLEN t1:{default}:cold") == ":2\r\n")
                #expect(await harness.post(#"{"subject":"c","meters":{"tokens":1}}"#).status == 200)
                let whole = try Self.files(data).map { try Data(contentsOf: URL(filePath: $0)) }
                for (file, bytes) in zip(Self.files(data), whole) {
                    if isMissing {
                        unlink(file)
                    } else {
                        try Data(bytes.dropLast(9)).write(to: URL(filePath: file))
                    }
                }
                #expect(await Self.board(harness, withWarnings: 2, pause) == ["c 1"])
                // Who stands there is told, of the others nothing is denied.
                let place = await harness.get("\(Self.path)/subjects/c", query: Self.window)
                #expect(place.status == 200)
                #expect((place.json["warnings"] as? [String])?.count == 2)
                let unknown = await harness.get("\(Self.path)/subjects/a", query: Self.window)
                #expect(unknown.status == 503 && unknown.code == "incomplete", "\(unknown.text)")
                #expect(unknown.detail.contains("2026-11-20.json"))
                // One of them comes back, then the other, while events go on.
                try whole[0].write(to: URL(filePath: Self.files(data)[0]))
                #expect(await harness.post(#"{"subject":"c","meters":{"tokens":1}}"#).status == 200)
                #expect(await Self.board(harness, withWarnings: 1, pause) == ["a 7", "c 2"])
                let known = await harness.get("\(Self.path)/subjects/a", query: Self.window)
                #expect(known.status == 200)
                try whole[1].write(to: URL(filePath: Self.files(data)[1]))
                #expect(await Self.board(harness, withWarnings: 0, pause) == ["a 7", "b 5", "c 2"])
                let nobody = await harness.get("\(Self.path)/subjects/x", query: Self.window)
                #expect(nobody.status == 404)
                await harness.queries.stop()
            }
        }
    }
}
