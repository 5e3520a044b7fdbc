// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@testable import Metering

/// One event, read from text.
func decode(_ text: String) throws -> UsageEvent {
    try EventDecoder.decode(JSONReader().read(text))
}

/// Why an event was refused: status, code and field in one line; the code alone where the text
/// is no JSON.
func refusal(_ text: String) throws -> String {
    do {
        _ = try decode(text)
        return "accepted"
    } catch let error as JSONError {
        return error.code.rawValue
    } catch let error as EventRejection {
        #expect(!error.detail.isEmpty)
        return "\(error.status) \(error.code) \(error.field)"
    }
}

@Suite struct EventDecoderTests {
    static let full = #"""
        {"id":"evt-1","time":"2026-11-21T10:00:00.123Z","subject":"user-42",
        "action":"ai_chat_message","model":"m-1","description":"Xin chào",
        "meters":{"messages":1,"input_tokens":1033,"zeta":7,"output_tokens":135}}
        """#

    @Test func `A full event is read whole`() throws {
        let event = try decode(Self.full)
        #expect(event.id == ByteString("evt-1"))
        #expect(event.time?.text == "2026-11-21T10:00:00.123Z")
        #expect(event.subject.id.text == "user-42")
        #expect(event.action.text == "ai_chat_message" && event.model.text == "m-1")
        #expect(event.description.text == "Xin chào")
        #expect(
            event.amounts.map(\.0.name)
                == ["input_tokens", "output_tokens", "tokens", "messages", "zeta"])
        #expect(event.amounts.map(\.1) == [1033, 135, 1168, 1, 7])
    }

    @Test func `What is left out or null has its default`() throws {
        for text in [
            #"{"subject":"u","meters":{"messages":0}}"#,
            #"""
            {"subject":"u","meters":{"messages":0},"id":null,"time":null,"usage":null,
            "action":null,"model":null,"description":null,"api_cost":null,"credits":null,
            "enforce":null}
            """#,
        ] {
            let event = try decode(text)
            #expect(event.id == nil && event.time == nil)
            #expect(event.action.text == "usage" && event.model == .empty)
            #expect(event.description == .empty && event.amounts.count == 1)
            #expect(!event.enforce && event.derived.isEmpty)
        }
    }

    @Test func `Every truncation of an event is refused`() throws {
        let bytes = Array(Self.full.utf8)
        let reader = try JSONReader()
        for length in 0..<bytes.count {
            #expect(throws: JSONError.self) { try reader.read(Array(bytes.prefix(length))) }
        }
    }

    @Test(arguments: [
        (#"[]"#, "422 wrong_type "), (#""abc""#, "422 wrong_type "), ("1", "422 wrong_type "),
        ("null", "422 wrong_type "), ("{}", "422 field_required subject"),
        ("", "invalid_json"), (#"{"a":1,"a":2}"#, "duplicate_key"),
        (#"{"subject":null,"meters":{"tokens":1}}"#, "422 field_required subject"),
        (#"{"subject":"u"}"#, "422 field_required meters"),
        (#"{"subject":"u","meters":null}"#, "422 field_required meters"),
        (#"{"subject":"u","meters":{}}"#, "422 field_required meters"),
        (#"{"subject":"u","meters":{"tokens":null}}"#, "422 field_required meters.tokens"),
        (
            #"{"subject":"u","meters":{"messages":0,"tokens":null}}"#,
            "422 field_required meters.tokens"
        ),
        (#"{"subject":"u","meters":[1]}"#, "422 wrong_type meters"),
        (#"{"subject":"u","usage":7}"#, "422 wrong_type usage"),
        (#"{"subject":"u","meters":{"a":1},"usage":{}}"#, "422 ambiguous_amounts usage"),
        (#"{"subject":"","meters":{"a":1}}"#, "422 invalid_id subject"),
        (#"{"subject":5,"meters":{"a":1}}"#, "422 wrong_type subject"),
    ])
    func `An event has to have its parts`(text: String, expected: String) throws {
        #expect(try refusal(text) == expected)
    }

    @Test(arguments: [
        (#""x":1"#, "400 unknown_field x"), (#""Action":"a""#, "400 unknown_field Action"),
        (#""a/b~c":1"#, "400 unknown_field a/b~c"), (#""":1"#, "400 unknown_field "),
        (#""x":null"#, "400 unknown_field x"),
        (#""__proto__":{}"#, "400 unknown_field __proto__"),
        (#""modex":"a""#, "400 unknown_field modex"), (#""timf":"a""#, "400 unknown_field timf"),
        (#""enforced":true"#, "400 unknown_field enforced"),
        (#""cost":1"#, "400 unknown_field cost"),
        (#""enforce":true"#, "accepted"), (#""enforce":false"#, "accepted"),
        (#""enforce":1"#, "422 wrong_type enforce"),
        (#""enforce":"true""#, "422 wrong_type enforce"),
        (#""api_cost":1"#, "accepted"), (#""credits":"1""#, "accepted"),
        (#""id":"""#, "422 invalid_id id"), (#""id":1"#, "422 wrong_type id"),
        (#""id":"a\nb""#, "422 invalid_id id"), (#""id":"\u007f""#, "422 invalid_id id"),
        (#""id":"\u0085""#, "422 invalid_id id"), (#""id":"\u0000""#, "invalid_string"),
        (#""id":"\ud800""#, "invalid_string"), (#""id":"é""#, "accepted"),
        (#""action":"""#, "422 invalid_text action"), (#""action":7"#, "422 wrong_type action"),
        (#""action":"a\tb""#, "422 invalid_text action"),
        (#""model":true"#, "422 wrong_type model"), (#""model":"""#, "422 invalid_text model"),
        (#""description":"""#, "accepted"),
        (#""description":["a"]"#, "422 wrong_type description"),
        (#""description":"a\nb""#, "422 invalid_text description"),
        (#""description":"<script>' ; --""#, "accepted"),
        (#""time":1763719200"#, "422 wrong_type time"),
        (#""time":"""#, "422 invalid_timestamp time"),
        (#""time":"2026-02-29T00:00:00Z""#, "422 invalid_timestamp time"),
        (#""time":"2026-02-28T00:00:00""#, "422 invalid_timestamp time"),
        (#""time":"2026-02-28T00:00:00+00:00""#, "accepted"),
    ])
    func `Fields are checked one by one`(field: String, expected: String) throws {
        #expect(try refusal(#"{"subject":"u","meters":{"tokens":1},\#(field)}"#) == expected)
    }

    @Test(arguments: [
        ("id", 256), ("subject", 256), ("action", 128), ("model", 128), ("description", 1024),
    ])
    func `Texts have a longest length in bytes`(name: String, limit: Int) throws {
        let other = name == "subject" ? "" : #""subject":"u","#
        func event(_ value: String) -> String {
            #"{\#(other)"meters":{"tokens":1},"\#(name)":"\#(value)"}"#
        }
        #expect(try refusal(event(String(repeating: "a", count: limit))) == "accepted")
        #expect(try refusal(event(String(repeating: "é", count: limit / 2))) == "accepted")
        let code = limit == 256 ? "invalid_id" : "invalid_text"
        let refused = "422 \(code) \(name)"
        #expect(try refusal(event(String(repeating: "a", count: limit + 1))) == refused)
        #expect(try refusal(event(String(repeating: "é", count: limit / 2 + 1))) == refused)
    }

    @Test(arguments: [
        ("0", "accepted"), ("1", "accepted"), ("9007199254740991", "accepted"),
        ("9007199254740992", "422 out_of_range"), ("9007199254740993", "422 out_of_range"),
        ("9223372036854775807", "422 out_of_range"), ("9223372036854775808", "422 out_of_range"),
        ("18446744073709551616", "422 out_of_range"), ("-1", "422 out_of_range"),
        ("-0", "422 integer_required"), ("-9223372036854775809", "422 out_of_range"),
        ("1.5", "422 integer_required"), ("1.0", "422 integer_required"),
        ("1e2", "422 integer_required"), ("100e-2", "422 integer_required"),
        ("1e-400", "422 integer_required"), ("1e400", "422 integer_required"),
        ("-1e400", "422 integer_required"), (#""5""#, "422 wrong_type"), ("true", "422 wrong_type"),
        ("[1]", "422 wrong_type"), ("{}", "422 wrong_type"),
    ])
    func `Amounts are integers by their digits`(amount: String, expected: String) throws {
        for name in ["tokens", "own"] {
            let place = expected == "accepted" ? "" : " meters.\(name)"
            #expect(
                try refusal(#"{"subject":"u","meters":{"\#(name)":\#(amount)}}"#)
                    == expected + place)
        }
    }

    @Test(arguments: ["NaN", "Infinity", "01", "+1", ".5", "1.", "0x10", "1_0", "١٢"])
    func `What is no JSON number is no amount`(amount: String) throws {
        #expect(
            try refusal(#"{"subject":"u","meters":{"a":\#(amount)}}"#).hasPrefix("invalid_"))
    }

    @Test func `A digit too many is a bad number`() throws {
        let digits = String(repeating: "9", count: 400)
        #expect(try refusal(#"{"subject":"u","meters":{"a":\#(digits)}}"#) == "invalid_number")
    }

    @Test(arguments: ["Tokens", "", "a-b", "é", "a/b"])
    func `Meters have plain names`(name: String) throws {
        #expect(
            try refusal(#"{"subject":"u","meters":{"\#(name)":1}}"#) == "422 unknown_meter meters")
    }

    @Test func `An event has at most 32 meters`() throws {
        func event(_ count: Int) -> String {
            let meters = (0..<count).map { #""m\#($0)":\#($0)"# }.joined(separator: ",")
            return #"{"subject":"u","meters":{\#(meters)}}"#
        }
        #expect(try decode(event(32)).amounts.count == 32)
        #expect(try refusal(event(33)) == "422 too_many_meters meters")
    }

    @Test func `Amounts are sorted by meter, whatever their order`() throws {
        let names = (1...15).compactMap { Meter(code: $0)?.name } + ["a", "b", "zz"]
        for _ in 0..<200 {
            let meters = names.shuffled().map { #""\#($0)":1"# }.joined(separator: ",")
            let event = try decode(#"{"subject":"u","meters":{\#(meters)}}"#)
            #expect(event.amounts.map(\.0.name) == names)
        }
    }

    @Test(arguments: [
        (#""input_tokens":5"#, 5), (#""output_tokens":7"#, 7),
        (#""input_tokens":5,"output_tokens":7,"cached_tokens":3"#, 12),
        (#""input_tokens":5,"tokens":100"#, 100), (#""messages":1"#, nil),
        (#""input_tokens":9007199254740990,"output_tokens":1"#, 9_007_199_254_740_991),
    ])
    func `The total is filled in where it is not given`(meters: String, tokens: Int?) throws {
        let event = try decode(#"{"subject":"u","meters":{\#(meters)}}"#)
        #expect(event.amounts.amount(of: .tokens) == tokens)
    }

    @Test func `A total over the largest amount is refused`() throws {
        let meters = #""input_tokens":9007199254740991,"output_tokens":1"#
        #expect(
            try refusal(#"{"subject":"u","meters":{\#(meters)}}"#)
                == "422 out_of_range meters.tokens")
    }

    @Test func `A long unknown name does not make a long answer`() throws {
        let name = String(repeating: "n", count: 60_000)
        #expect(try refusal(#"{"\#(name)":1}"#).utf8.count < 200)
    }
}
