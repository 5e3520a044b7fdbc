// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import TallyCommand

@main struct Tally {
    static func main() async {
        holdStandardDescriptors()
        // As they are: CommandLine.arguments puts right what is no text.
        let words = (1..<max(1, CommandLine.argc)).compactMap { index in
            CommandLine.unsafeArgv[Int(index)].map { word in
                [UInt8](UnsafeRawBufferPointer(start: word, count: strlen(word)))
            }
        }
        let environment = ProcessInfo.processInfo.environment
        let status = await TallyCommand.run(
            arguments: words, environment: environment, serve: serve,
            work: { try await work($0, console: $1) })
        // Not `exit`: what libraries free in their handlers is used by threads that are about to end.
        fflush(nil)
        _exit(status)
    }

    /// Opens those of the standard input, output and error that are closed: else a file or a connection
    /// that is opened later gets one of their numbers, and what is printed is written into it.
    private static func holdStandardDescriptors() {
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 {
            // What is written there fails, as it would have without this.
            _ = open("/dev/null", O_RDONLY)
        }
    }
}
