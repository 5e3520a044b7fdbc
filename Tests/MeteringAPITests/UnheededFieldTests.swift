// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

/// Header fields that have no meaning here, whatever they mean elsewhere.
@Suite(.timeLimit(.minutes(15))) struct UnheededFieldTests {
    private static let fields: [(name: String, value: String)] = [
        ("Accept", "text/html"), ("Accept", "image/png;q=1, */*;q=0"), ("Accept", "nonsense"),
        ("Range", "bytes=0-0"), ("Range", "bytes=9999999-"), ("Range", "nonsense"),
        ("X_Admin", "true"), ("X-Admin", "true"), ("Content_Length", "1"),
        ("Content_Type", "text/plain"), ("X_Tally_Workspace", "nothing"),
        ("Idempotency_Key", "k"), ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "gopher"),
        ("Forwarded", "for=10.0.0.1;host=evil.example"), ("X-Real-IP", "10.0.0.1"),
        ("X-Original-URL", "/v1/keys"), ("X-HTTP-Method-Override", "DELETE"),
    ]

    @Test(arguments: fields)
    func `An answer is the same with fields that say nothing here`(
        field: (name: String, value: String)
    ) async throws {
        try await withAPI { host, harness, redis in
            let event = #"{"subject":"a","meters":{"tokens":1}}"#
            #expect(await harness.post(event).status == 200)
            let headers = [field.name: field.value]
            for (path, query) in [
                ("/v1/subjects/a", nil), ("/v1/leaderboards/tokens", "window=lifetime"),
                ("/v1/prices", nil), ("/v1/holds", "state=open"), ("/v1/subjects/none", nil),
                ("/v1/events", nil),
            ] as [(String, String?)] {
                let plain = await harness.get(path, query: query)
                let other = await harness.send(
                    .authorized(.get, path, query: query, headers: headers))
                #expect(other.status == plain.status, "\(path)")
                #expect(other.headers == plain.headers, "\(path)")
                #expect(other.body == plain.body, "\(path)")
            }
            // Counted each time, for its subject, as events without an id are.
            for total in 2...3 {
                #expect(await harness.post(event, headers: headers).totals == ["tokens": total])
            }
            let stranger = await harness.get("/v1/subjects/a", with: headers)
            #expect(stranger.status == 401, "\(stranger.text)")
        }
    }

    @Test func `Guesses of keys are those of the peer, whoever it says that it passes them on for`()
        async throws
    {
        try await withAPI { host, harness, redis in
            var statuses: [Int] = []
            for number in 0..<101 {
                let answer = await harness.get(
                    "/v1/subjects/a",
                    with: [
                        "Authorization": "Bearer wrong", "X-Forwarded-For": "10.0.0.\(number)",
                        "Forwarded": "for=10.0.0.\(number)", "X-Real-IP": "10.0.0.\(number)",
                    ])
                statuses.append(answer.status)
            }
            #expect(statuses == Array(repeating: 401, count: 100) + [429])
        }
    }
}

extension Harness {
    /// Asks without a key, but for what the headers say.
    fileprivate func get(_ path: String, with headers: [String: String]) async -> Answer {
        await send(
            .authorized(.get, path, headers: ["Authorization": absent].merging(headers) { $1 }))
    }
}
