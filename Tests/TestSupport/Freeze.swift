// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// Freezes a process. Its threads go on for a moment when the machine is busy: waits until all of them stand still.
public func freeze(_ process: pid_t) {
    guard kill(process, SIGSTOP) == 0 else { return }
    let tasks = "/proc/\(process)/task"
    // Unless somebody lets it go on.
    let patience = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < patience,
        let names = try? FileManager.default.contentsOfDirectory(atPath: tasks),
        !names.allSatisfy({ isFrozen("\(tasks)/\($0)/stat") })
    {
        usleep(1_000)
    }
}

private func isFrozen(_ path: String) -> Bool {
    // The state stands behind the name, which may have brackets of its own.
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
        let bracket = text.lastIndex(of: ")")
    else { return true }
    return ["T", "t", "Z", "X"].contains(text[bracket...].dropFirst(2).first)
}
