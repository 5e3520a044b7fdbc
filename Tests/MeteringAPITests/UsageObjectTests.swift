// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct UsageObjectTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let usage: String
        let amounts: [String: Int]
        var testDescription: String { name }
    }

    static let rows = [
        Row(
            name: "Dify",
            usage:
                #"{"prompt_tokens":1033,"prompt_unit_price":"0.001","prompt_price_unit":"0.001","prompt_price":"0.0010330","completion_tokens":135,"completion_unit_price":"0.002","completion_price_unit":"0.001","completion_price":"0.0002700","total_tokens":1168,"total_price":"0.0013030","currency":"USD","latency":1.381760165997548}"#,
            amounts: ["input_tokens": 1033, "output_tokens": 135, "tokens": 1168]),
        Row(
            name: "OpenAI chat",
            usage:
                #"{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":200,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
            amounts: [
                "input_tokens": 86, "cached_tokens": 1920, "output_tokens": 300, "tokens": 2306,
            ]),
        Row(
            name: "OpenAI chat with details null",
            usage:
                #"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":null,"completion_tokens_details":null}"#,
            amounts: ["input_tokens": 10, "output_tokens": 2, "tokens": 12]),
        Row(
            name: "OpenAI embeddings", usage: #"{"prompt_tokens":8,"total_tokens":8}"#,
            amounts: ["input_tokens": 8, "output_tokens": 0, "tokens": 8]),
        Row(
            name: "OpenAI responses",
            usage:
                #"{"input_tokens":328,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":28},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":380}"#,
            amounts: [
                "input_tokens": 200, "cached_tokens": 100, "cache_write_tokens": 28,
                "output_tokens": 52, "tokens": 380,
            ]),
        Row(
            name: "Anthropic",
            usage:
                #"{"input_tokens":50,"output_tokens":503,"cache_creation_input_tokens":248,"cache_read_input_tokens":1800,"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100},"output_tokens_details":{"thinking_tokens":3},"server_tool_use":{"web_search_requests":0},"service_tier":"standard"}"#,
            amounts: [
                "input_tokens": 50, "cached_tokens": 1800, "cache_write_tokens": 248,
                "output_tokens": 503, "tokens": 2601,
            ]),
        Row(
            name: "Anthropic without a cache",
            usage:
                #"{"input_tokens":50,"output_tokens":5,"cache_creation_input_tokens":null,"cache_read_input_tokens":0}"#,
            amounts: ["input_tokens": 50, "output_tokens": 5, "tokens": 55]),
        Row(
            name: "a total with more in it, as of reasoning that completion leaves out",
            usage: #"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#,
            amounts: ["input_tokens": 10, "output_tokens": 5, "tokens": 40]),
        Row(
            name: "nothing used",
            usage: #"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#,
            amounts: ["input_tokens": 0, "output_tokens": 0, "tokens": 0]),
    ]

    @Test(arguments: rows) func `A usage object counts as the same amounts, whoever reports it`(
        row: Row
    ) async throws {
        try await withAPI { host, harness, redis in
            let answer = await harness.post(#"{"subject":"a","usage":\#(row.usage)}"#)
            #expect(answer.totals == row.amounts, "\(answer.text)")
        }
    }

    @Test func `A usage object that could mean two things, or contradicts itself, is refused`()
        async throws
    {
        let rows: [(usage: String, code: String)] = [
            ("{}", "unknown_usage"), (#"{"total_tokens":5}"#, "unknown_usage"),
            (#"{"tokens":5}"#, "unknown_usage"),
            (#"{"completion_tokens":5}"#, "unknown_usage"),
            (#"{"output_tokens":5}"#, "unknown_usage"),
            (#"{"promptTokens":5,"completionTokens":5}"#, "unknown_usage"),
            (#"{"prompt_tokens":5,"input_tokens":5}"#, "ambiguous_usage"),
            (#"{"prompt_tokens":5,"output_tokens":5}"#, "ambiguous_usage"),
            (
                #"{"prompt_tokens":5,"completion_tokens":5,"cache_read_input_tokens":5}"#,
                "ambiguous_usage"
            ),
            (#"{"prompt_tokens":5,"input_tokens_details":{"cached_tokens":1}}"#, "ambiguous_usage"),
            (#"{"input_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}"#, "ambiguous_usage"),
            (
                #"{"input_tokens":5,"input_tokens_details":{"cached_tokens":1},"cache_read_input_tokens":1}"#,
                "ambiguous_usage"
            ),
            (
                #"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":6}}"#,
                "inconsistent_usage"
            ),
            (
                #"{"input_tokens":5,"input_tokens_details":{"cached_tokens":3,"cache_write_tokens":3}}"#,
                "inconsistent_usage"
            ),
            (
                #"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":14}"#,
                "inconsistent_usage"
            ),
            (#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":0}"#, "inconsistent_usage"),
            (
                #"{"input_tokens":1,"output_tokens":1,"cache_read_input_tokens":5,"total_tokens":6}"#,
                "inconsistent_usage"
            ),
            (#"{"prompt_tokens":"5"}"#, "wrong_type"), (#"{"prompt_tokens":true}"#, "wrong_type"),
            (#"{"prompt_tokens":5,"prompt_tokens_details":[]}"#, "wrong_type"),
            (#"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":"1"}}"#, "wrong_type"),
            (#"{"prompt_tokens":5.0}"#, "integer_required"),
            (#"{"prompt_tokens":1e2}"#, "integer_required"),
            (#"{"prompt_tokens":-5}"#, "out_of_range"),
            (#"{"prompt_tokens":5,"completion_tokens":-5}"#, "out_of_range"),
            (#"{"prompt_tokens":9007199254740992}"#, "out_of_range"),
            (#"{"prompt_tokens":9007199254740991,"completion_tokens":1}"#, "out_of_range"),
            (
                #"{"input_tokens":9007199254740991,"output_tokens":9007199254740991,"cache_read_input_tokens":9007199254740991,"cache_creation_input_tokens":9007199254740991}"#,
                "out_of_range"
            ),
        ]
        try await withAPI { host, harness, redis in
            for row in rows {
                try await harness.expectRefusal(
                    .post(#"{"subject":"a","usage":\#(row.usage)}"#), 422, row.code, row.usage)
            }
        }
    }
}
