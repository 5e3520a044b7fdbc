// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// The description of the API, which is made from docs/openapi.
@Suite struct DescriptionTests {
    @Test func `openapi.json and docs/http-api.md are what scripts/openapi makes`() throws {
        let process = Process()
        process.executableURL = URL(filePath: "\(TallyProcess.package)/scripts/openapi")
        process.arguments = ["--check"]
        let errors = Pipe()
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(String(decoding: text, as: UTF8.self))")
    }
}
