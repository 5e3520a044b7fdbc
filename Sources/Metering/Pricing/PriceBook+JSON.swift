// SPDX-License-Identifier: Apache-2.0

public import JSON

extension PriceBook {
    /// Reads a book. Every member may be left out, which is 0 or none; decimals are strings or
    /// numbers, as `MicroDecimal` reads them:
    ///
    ///     {"per_message": "0.005", "credit_rate": "10", "default": {…}, "models": {"gpt-4o*":
    ///     {"input": "2.50", "output": "10", "cached_read": "1.25", "cached_write": "0"}}}
    ///
    /// Prices of models are in units of currency per million tokens.
    ///
    /// - Throws: 400 `unknown_field`; 422 `wrong_type`, `field_required` for null,
    ///   `invalid_model`, `too_many_models`, and what `MicroDecimal` throws.
    public init(_ value: JSONValue) throws(EventRejection) {
        var perMessage = 0
        var creditRate = 0
        var defaultPrices: ModelPrices?
        var models: [ByteString: ModelPrices] = [:]
        try Self.expectObject(value, "")
        for (key, member) in value.members {
            if key == "per_message" {
                perMessage = try MicroDecimal.micros(member, "per_message")
            } else if key == "credit_rate" {
                creditRate = try MicroDecimal.micros(member, "credit_rate")
            } else if key == "default" {
                defaultPrices = try Self.prices(member, "default")
            } else if key == "models" {
                models = try Self.models(member)
            } else {
                throw .unknownField(
                    key, detail: "a price book has per_message, credit_rate, default, models")
            }
        }
        self.init(
            perMessage: perMessage, creditRate: creditRate, defaultPrices: defaultPrices,
            models: models)
    }

    /// Writes the book with all its members, models in the order of their bytes: equal books are
    /// equal texts, and each text reads back to its book.
    public func write(_ writer: inout JSONWriter) {
        writer.beginObject()
        Self.write("per_message", perMessage, &writer)
        Self.write("credit_rate", creditRate, &writer)
        if let defaultPrices {
            writer.key("default")
            Self.write(defaultPrices, &writer)
        }
        writer.key("models")
        writer.beginObject()
        for (name, prices) in models.sorted(by: { $0.key < $1.key }) {
            writer.key(bytes: name.bytes)
            Self.write(prices, &writer)
        }
        writer.endObject()
        writer.endObject()
    }

    // MARK: - Parts

    private static func models(
        _ value: JSONValue
    ) throws(EventRejection) -> [ByteString: ModelPrices] {
        try expectObject(value, "models")
        guard value.count <= modelCountMax else {
            throw EventRejection(
                code: "too_many_models", field: "models", detail: "at most \(modelCountMax) models")
        }
        var models: [ByteString: ModelPrices] = [:]
        models.reserveCapacity(value.count)
        for (key, member) in value.members {
            guard isName(key.bytes) else {
                throw EventRejection(
                    code: "invalid_model", field: "models.\(EventRejection.shortened(key))",
                    detail:
                        "1 to \(EventDecoder.labelBytesMax) bytes without control characters, * at the end only"
                )
            }
            models[ByteString(key.bytes)] = try prices(
                member, "models.\(EventRejection.shortened(key))")
        }
        return models
    }

    private static func prices(
        _ value: JSONValue, _ field: @autoclosure () -> String
    ) throws(EventRejection) -> ModelPrices {
        try expectObject(value, field())
        var prices = ModelPrices()
        for (key, member) in value.members {
            if key == "input" {
                prices.input = try MicroDecimal.micros(member, "\(field()).input")
            } else if key == "output" {
                prices.output = try MicroDecimal.micros(member, "\(field()).output")
            } else if key == "cached_read" {
                prices.cachedRead = try MicroDecimal.micros(member, "\(field()).cached_read")
            } else if key == "cached_write" {
                prices.cachedWrite = try MicroDecimal.micros(member, "\(field()).cached_write")
            } else {
                throw .unknownField(
                    key, of: field(),
                    detail: "prices are input, output, cached_read, cached_write")
            }
        }
        return prices
    }

    private static func expectObject(
        _ value: JSONValue, _ field: @autoclosure () -> String
    ) throws(EventRejection) {
        guard value.kind != .object else { return }
        throw EventRejection(
            code: value.isNull && !field().isEmpty ? "field_required" : "wrong_type",
            field: field(),
            detail: "an object")
    }

    private static func write(_ prices: ModelPrices, _ writer: inout JSONWriter) {
        writer.beginObject()
        write("input", prices.input, &writer)
        write("output", prices.output, &writer)
        write("cached_read", prices.cachedRead, &writer)
        write("cached_write", prices.cachedWrite, &writer)
        writer.endObject()
    }

    private static func write(_ key: StaticString, _ micros: Int, _ writer: inout JSONWriter) {
        writer.key(key)
        // A string: what reads it must not make binary floating point of it.
        writer.string(MicroDecimal.text(micros))
    }
}
