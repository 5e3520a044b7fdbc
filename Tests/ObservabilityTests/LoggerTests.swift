// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Observability

@Suite struct LoggerTests {
    private static let hostile =
        "a\n\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}\u{feff}\"\\z"

    @Test(arguments: [Logger.Form.json, .text])
    func `No value can end a line or steer a terminal`(form: Logger.Form) {
        let line = Logger.line(form, .now, .info, Self.hostile, ["subject": Self.hostile])
        #expect(line.last == "\n")
        for scalar in line.dropLast().unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            #expect(!isControl && ![0x2028, 0x2029, 0x202e, 0xfeff].contains(scalar.value))
        }
    }

    @Test func `A line of JSON holds exactly what was given`() throws {
        let date = Date(timeIntervalSince1970: 1_700_000_000.125)
        let line = Logger.line(.json, date, .warning, Self.hostile, ["subject": "Zoë 🙂\u{0}"])
        let read = try JSONDecoder().decode([String: String].self, from: Data(line.utf8))
        #expect(
            read == [
                "time": "2023-11-14T22:13:20.125Z", "level": "warning", "message": Self.hostile,
                "subject": "Zoë 🙂\u{0}",
            ])
    }

    @Test func `A value of a text line cannot pass for two`() {
        let date = Date(timeIntervalSince1970: 0)
        let line = Logger.line(.text, date, .info, "Seen", ["id": "x level=error", "n": "5"])
        #expect(line == "1970-01-01T00:00:00.000Z info Seen id=\"x level=error\" n=5\n")
    }

    @Test func `Lines below the level are neither written nor computed`() throws {
        let path = NSTemporaryDirectory() + "tally-log-\(UUID().uuidString)"
        let descriptor = open(path, O_CREAT | O_RDWR, 0o600)
        defer {
            close(descriptor)
            unlink(path)
        }
        let logger = Logger(level: .warning, descriptor: descriptor)
        var computed = 0
        func message() -> String {
            computed += 1
            return "message"
        }
        logger.info(message())
        logger.warning(message(), ["why": "test"])
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(computed == 1)
        #expect(text.split(separator: "\n").count == 1)
        #expect(text.contains("\"why\":\"test\""))
    }

    @Test func `Levels are in order`() {
        #expect(Logger.Level.allCases.sorted() == Logger.Level.allCases)
    }
}
