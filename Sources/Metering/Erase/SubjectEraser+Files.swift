// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension SubjectEraser {
    /// Writes the files anew in which the subject stood.
    func eraseFiles() async throws {
        // A flusher of its own takes away what dead writers have left, too.
        let flusher = Flusher(
            client: client, settings: context.settings, clock: context.clock, data: context.data,
            metrics: FlushMetrics(context.metrics), logger: context.logger)
        while true {
            let report = await flusher.flush()
            if let problem = report.problem { throw MeteringError.undecided(reason: problem) }
            if !report.isElsewhere { return }
            await pause()
            try await keep()
        }
    }

    /// Has Redis write its append-only file anew, which still has the commands of before, and waits for that.
    func rewriteAppendOnlyFile() async throws -> AppendOnlyFile {
        do {
            guard try await persistence("aof_enabled") == "1" else { return .off }
            try await waitForRewrite()
            _ = try await send("BGREWRITEAOF", [])
            try await waitForRewrite()
            return try await persistence("aof_last_bgrewrite_status") == "ok"
                ? .rewritten : .refused
        } catch RedisError.server {
            return .refused
        }
    }

    private func waitForRewrite() async throws {
        while true {
            let isRunning = try await persistence("aof_rewrite_in_progress") != "0"
            let isDue = try await persistence("aof_rewrite_scheduled") != "0"
            guard isRunning || isDue else { return }
            await pause()
            try await keep()
        }
    }

    private func persistence(_ name: String) async throws -> String {
        let text = try await send("INFO", [Array("persistence".utf8)]).text ?? ""
        for line in text.split(whereSeparator: \.isNewline) where line.hasPrefix("\(name):") {
            return String(line.dropFirst(name.utf8.count + 1))
        }
        return ""
    }
}
