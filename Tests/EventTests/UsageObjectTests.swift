// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Metering

private func event(_ usage: String) -> String { #"{"subject":"u","usage":\#(usage)}"# }

@Suite struct UsageObjectTests {
    static let dify = #"""
        {"prompt_tokens":1033,"prompt_unit_price":"0.001","prompt_price_unit":"0.001",
        "prompt_price":"0.0010330","completion_tokens":135,"completion_unit_price":"0.002",
        "completion_price_unit":"0.001","completion_price":"0.0002700","total_tokens":1168,
        "total_price":"0.0013030","currency":"USD","latency":1.38}
        """#
    static let chat = #"""
        {"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
        "prompt_tokens_details":{"cached_tokens":1920,"cache_write_tokens":10,"audio_tokens":0},
        "completion_tokens_details":{"reasoning_tokens":192,"audio_tokens":0,
        "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}
        """#
    static let responses = #"""
        {"input_tokens":328,"input_tokens_details":{"cached_tokens":64},"output_tokens":52,
        "output_tokens_details":{"reasoning_tokens":20},"total_tokens":380}
        """#
    static let anthropic = #"""
        {"input_tokens":50,"output_tokens":503,"cache_creation_input_tokens":248,
        "cache_read_input_tokens":1800,"cache_creation":{"ephemeral_5m_input_tokens":200,
        "ephemeral_1h_input_tokens":48},"output_tokens_details":{"thinking_tokens":100},
        "server_tool_use":{"web_search_requests":1},"service_tier":"standard"}
        """#

    /// Input, output, total, cached, cache writes; -1 for a meter that is not there.
    /// Input is what neither came from a cache nor went into one.
    @Test(arguments: [
        (dify, [1033, 135, 1168, -1, -1]),
        (chat, [76, 300, 2306, 1920, 10]),
        (responses, [264, 52, 380, 64, -1]),
        (anthropic, [50, 503, 2601, 1800, 248]),
        (#"{"input_tokens":3,"output_tokens":4}"#, [3, 4, 7, -1, -1]),
        (#"{"prompt_tokens":8,"total_tokens":8}"#, [8, 0, 8, -1, -1]),
        (#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, [0, 0, 0, -1, -1]),
        (
            #"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":null}"#,
            [1, 2, 3, -1, -1]
        ),
        (
            #"{"input_tokens":1,"output_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":9}}"#,
            [1, 2, 12, -1, 9]
        ),
        (
            #"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":9,"cache_creation":{}}"#,
            [1, 2, 12, -1, 9]
        ),
        (
            #"{"input_tokens":1,"total_tokens":2,"cache_read_input_tokens":1}"#,
            [1, 0, 2, 1, -1]
        ),
        (#"{"prompt_tokens":5,"prompt_tokens_details":null}"#, [5, 0, 5, -1, -1]),
        (#"{"prompt_tokens":5,"something_new":{"a":[-1.5]}}"#, [5, 0, 5, -1, -1]),
    ])
    func `Usage objects come out as the same meters`(usage: String, expected: [Int]) throws {
        let event = try decode(event(usage))
        let meters: [Meter] = [
            .inputTokens, .outputTokens, .tokens, .cachedTokens, .cacheWriteTokens,
        ]
        #expect(meters.map { event.amounts.amount(of: $0) ?? -1 } == expected)
        let found = event.amounts.map(\.0)
        #expect(found == found.sorted(by: Meter.precedes))
    }

    @Test(arguments: [
        (#"{}"#, "422 unknown_usage usage"), (#"{"total_tokens":5}"#, "422 unknown_usage usage"),
        (#"{"prompt_tokens":1,"input_tokens":1}"#, "422 ambiguous_usage usage"),
        (
            #"{"input_tokens":1,"input_tokens_details":{},"cache_read_input_tokens":1}"#,
            "422 ambiguous_usage usage"
        ),
        (#"{"completion_tokens":8}"#, "422 unknown_usage usage"),
        (#"[]"#, "422 wrong_type usage"),
        (#"{"prompt_tokens":"5"}"#, "422 wrong_type usage.prompt_tokens"),
        (#"{"prompt_tokens":5.0}"#, "422 integer_required usage.prompt_tokens"),
        (#"{"prompt_tokens":-5}"#, "422 out_of_range usage.prompt_tokens"),
        (#"{"output_tokens":1e2}"#, "422 integer_required usage.output_tokens"),
        (
            #"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":-1}}"#,
            "422 out_of_range usage.prompt_tokens_details.cached_tokens"
        ),
        (
            #"{"prompt_tokens":5,"prompt_tokens_details":7}"#,
            "422 wrong_type usage.prompt_tokens_details"
        ),
        (
            #"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":6}}"#,
            "422 inconsistent_usage usage"
        ),
        (
            #"{"input_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":-1}}"#,
            "422 out_of_range usage.cache_creation.ephemeral_1h_input_tokens"
        ),
        (#"{"input_tokens":5,"cache_creation":7}"#, "422 wrong_type usage.cache_creation"),
        (
            #"""
            {"input_tokens":1,"total_tokens":1,"cache_creation":
            {"ephemeral_5m_input_tokens":9007199254740991,"ephemeral_1h_input_tokens":1}}
            """#, "422 out_of_range usage.cache_creation"
        ),
        (
            #"{"input_tokens":9007199254740991,"cache_read_input_tokens":1}"#,
            "422 out_of_range usage"
        ),
        (
            #"{"prompt_tokens":9007199254740991,"completion_tokens":1}"#,
            "422 out_of_range usage"
        ),
    ])
    func `What is no usage object of one provider is refused`(
        usage: String, expected: String
    ) throws {
        #expect(try refusal(event(usage)) == expected)
    }
}
