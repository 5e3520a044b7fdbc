// SPDX-License-Identifier: Apache-2.0

internal import CHiredis
internal import Glibc

/// A child process of the thread that made it. That thread must live as long as the child: the
/// kernel tells the child of its parent's death when that thread ends, whatever the others do.
final class ChildProcess {
    let id: pid_t
    private let exitDescriptor: Int32
    private var status: Int32?

    /// Starts a program: no signal blocked or ignored, its own process group (so that Ctrl-C on a
    /// terminal does not stop it before its parent is done with it), no variable of ours but `environment`,
    /// so that it has none of our secrets, and no open file but its three standard ones and `inherited`.
    init(
        _ path: String, _ arguments: [String], environment: [String] = [], input: Int32,
        output: Int32, inherited: [Int32]
    ) throws(RedisServerError) {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        // In their order none is overwritten before it was copied.
        for (target, descriptor) in zip(Int32(3)..., inherited.sorted()) {
            posix_spawn_file_actions_adddup2(&actions, descriptor, target)
        }
        posix_spawn_file_actions_addclosefrom_np(&actions, 3 + Int32(inherited.count))
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] =
            (["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C"] + environment).map { strdup($0) } + [
                nil
            ]
        defer { for word in words + variables { free(word) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, path, &actions, &attributes, &words, &variables)
        guard code == 0 else { throw .system(call: "posix_spawn \(path)", errno: code) }
        self.id = id
        exitDescriptor = tally_pidfd_open(id)
    }

    deinit {
        if exitDescriptor >= 0 { close(exitDescriptor) }
    }

    /// Whether it ended; it is reaped then.
    var hasExited: Bool {
        if status != nil { return true }
        var code: Int32 = 0
        guard waitpid(id, &code, WNOHANG) != 0 else { return false }
        status = code
        return true
    }

    /// Sends a signal, unless it ended.
    func signal(_ number: Int32) {
        if !hasExited { kill(id, number) }
    }

    /// Waits for the end, for `wake` to become readable, or for the time to pass.
    func wait(orFor wake: Int32, milliseconds: Int32) {
        var descriptors = [
            pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
            pollfd(fd: exitDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        // Without a descriptor for its end (an old kernel) one looks now and then.
        let limit = exitDescriptor < 0 ? 20 : Int32.max
        let time = milliseconds < 0 ? (exitDescriptor < 0 ? limit : -1) : min(milliseconds, limit)
        poll(&descriptors, 2, time)
    }

    /// How it ended, in words.
    var ending: String {
        guard let status else { return "running" }
        let signal = status & 0x7f
        return signal == 0 ? "exit status \((status >> 8) & 0xff)" : "signal \(signal)"
    }

    /// The full path of a program, looked for where a shell would.
    static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return (path + ":/usr/local/bin:/usr/bin:/bin").split(separator: ":")
            .map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
