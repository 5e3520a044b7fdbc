// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import TallyCommand

@main struct Tally {
    static func main() async {
        let words = Array(CommandLine.arguments.dropFirst())
        let environment = ProcessInfo.processInfo.environment
        exit(
            await TallyCommand.run(
                arguments: words, environment: environment, serve: serve,
                work: { try await work($0, console: $1) }))
    }
}
