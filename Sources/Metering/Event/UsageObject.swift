// SPDX-License-Identifier: Apache-2.0
//
// LLM systems report usage in shapes of their own. OpenAI (and Dify, which follows it) counts
// cached tokens as part of the prompt, Anthropic beside its input. Tally keeps them apart, so that
// the same conversation counts the same whoever reports it: `input_tokens` are those that were
// neither read from nor written to a cache, `cached_tokens` those read from one,
// `cache_write_tokens` those written to one, `output_tokens` all that was produced, reasoning
// included. `tokens` is the total that the system gives, or the sum of these.

internal import JSON

/// Reads the usage objects of Dify, OpenAI (chat and responses) and Anthropic.
enum UsageObject {
    private struct Fields {
        var prompt: Int?
        var completion: Int?
        var input: Int?
        var output: Int?
        var total: Int?
        var promptDetails: Details?
        var inputDetails: Details?
        var cacheRead: Int?
        var cacheCreation: Int?
        /// The same, told apart by how long it is kept; sent beside the sum or instead of it.
        var cacheCreationByAge: Int?
    }

    private struct Details {
        var cached = 0
        var written = 0
    }

    /// The amounts that a usage object stands for. What Tally does not use of it is passed over.
    static func amounts(_ value: JSONValue) throws(EventRejection) -> [(Meter, Int)] {
        guard value.kind == .object else {
            throw EventRejection(code: "wrong_type", field: "usage", detail: "a usage object")
        }
        let fields = try read(value)
        let written = fields.cacheCreation ?? fields.cacheCreationByAge
        let isAnthropic = fields.cacheRead != nil || written != nil
        let isResponses = fields.inputDetails != nil
        switch (fields.prompt, fields.completion, fields.input, fields.output) {
        case (let prompt?, let completion, nil, nil) where !isAnthropic && !isResponses:
            return try inclusive(prompt, completion ?? 0, fields.promptDetails, fields.total)
        case (nil, nil, let input?, let output)
        where !(isAnthropic && isResponses) && fields.promptDetails == nil:
            guard isAnthropic else {
                return try inclusive(input, output ?? 0, fields.inputDetails, fields.total)
            }
            return try pools(
                input, output ?? 0, cached: fields.cacheRead ?? 0,
                written: written ?? 0,
                total: fields.total)
        case (nil, _, nil, _):
            throw EventRejection(
                code: "unknown_usage", field: "usage",
                detail: "neither a Dify, an OpenAI nor an Anthropic usage object")
        default:
            throw EventRejection(
                code: "ambiguous_usage", field: "usage",
                detail: "it has members of the usage objects of different systems")
        }
    }

    private static func read(_ value: JSONValue) throws(EventRejection) -> Fields {
        var fields = Fields()
        for (key, member) in value.members where !member.isNull {
            if key == "prompt_tokens" {
                fields.prompt = try EventDecoder.amount(member, "usage.prompt_tokens")
            } else if key == "completion_tokens" {
                fields.completion = try EventDecoder.amount(member, "usage.completion_tokens")
            } else if key == "input_tokens" {
                fields.input = try EventDecoder.amount(member, "usage.input_tokens")
            } else if key == "output_tokens" {
                fields.output = try EventDecoder.amount(member, "usage.output_tokens")
            } else if key == "total_tokens" {
                fields.total = try EventDecoder.amount(member, "usage.total_tokens")
            } else if key == "prompt_tokens_details" {
                fields.promptDetails = try details(member, "usage.prompt_tokens_details")
            } else if key == "input_tokens_details" {
                fields.inputDetails = try details(member, "usage.input_tokens_details")
            } else if key == "cache_read_input_tokens" {
                fields.cacheRead = try EventDecoder.amount(member, "usage.cache_read_input_tokens")
            } else if key == "cache_creation_input_tokens" {
                fields.cacheCreation = try EventDecoder.amount(
                    member, "usage.cache_creation_input_tokens")
            } else if key == "cache_creation" {
                fields.cacheCreationByAge = try cacheCreation(member, "usage.cache_creation")
            }
        }
        return fields
    }

    private static func details(_ value: JSONValue, _ field: String) throws(EventRejection)
        -> Details
    {
        guard value.kind == .object else {
            throw EventRejection(code: "wrong_type", field: field, detail: "an object")
        }
        var details = Details()
        for (key, member) in value.members where !member.isNull {
            if key == "cached_tokens" {
                details.cached = try EventDecoder.amount(member, "\(field).cached_tokens")
            } else if key == "cache_write_tokens" {
                details.written = try EventDecoder.amount(member, "\(field).cache_write_tokens")
            }
        }
        return details
    }

    private static func cacheCreation(
        _ value: JSONValue, _ field: String
    ) throws(EventRejection) -> Int {
        guard value.kind == .object else {
            throw EventRejection(code: "wrong_type", field: field, detail: "an object")
        }
        var sum = 0
        for (key, member) in value.members where !member.isNull {
            if key == "ephemeral_5m_input_tokens" {
                sum += try EventDecoder.amount(member, "\(field).ephemeral_5m_input_tokens")
            } else if key == "ephemeral_1h_input_tokens" {
                sum += try EventDecoder.amount(member, "\(field).ephemeral_1h_input_tokens")
            }
        }
        guard sum <= EventBatch.exactIntegerMax else {
            throw EventRejection(
                code: "out_of_range", field: field, detail: "its tokens pass 9007199254740991")
        }
        return sum
    }

    /// Where the tokens of caches are part of what was read.
    private static func inclusive(
        _ read: Int, _ output: Int, _ details: Details?, _ total: Int?
    ) throws(EventRejection) -> [(Meter, Int)] {
        let details = details ?? Details()
        let input = read - details.cached - details.written
        guard input >= 0 else {
            throw EventRejection(
                code: "inconsistent_usage", field: "usage",
                detail: "more tokens were cached than were read")
        }
        return try pools(
            input, output, cached: details.cached, written: details.written, total: total)
    }

    private static func pools(
        _ input: Int, _ output: Int, cached: Int, written: Int, total: Int?
    ) throws(EventRejection) -> [(Meter, Int)] {
        let parts = input + output + cached + written
        let sum = total ?? parts
        // A total may hold more than its parts: some systems leave reasoning out of the output.
        guard sum >= parts else {
            throw EventRejection(
                code: "inconsistent_usage", field: "usage",
                detail: "total_tokens is less than its parts")
        }
        guard sum <= EventBatch.exactIntegerMax else {
            throw EventRejection(
                code: "out_of_range", field: "usage", detail: "its tokens pass 9007199254740991")
        }
        var amounts: [(Meter, Int)] = [
            (.inputTokens, input), (.outputTokens, output), (.tokens, sum),
        ]
        if cached > 0 { amounts.append((.cachedTokens, cached)) }
        if written > 0 { amounts.append((.cacheWriteTokens, written)) }
        return amounts
    }
}
