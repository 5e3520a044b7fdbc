// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Identity
internal import JSON
internal import Metering
internal import Observability
internal import Synchronization
internal import TallyCommand

/// The file of the keys that sign tokens. It is read again when it changes, so that keys can be
/// rotated while the service runs; a new one that is wrong is told, and the old keys stay. It is tried again until it
/// can be read.
final class TokenFile: Sendable {
    private static let byteCountMax = 1 << 20

    let verifier: TokenVerifier
    private let path: String
    private let logger: Logger
    private let seen: Mutex<Seen>

    /// The file that was looked at last.
    private struct Seen {
        var stamp: Stamp
        /// Why it could not be read; nil when it was.
        var fault: String?
    }

    /// What a file has that another has not.
    private struct Stamp: Equatable {
        var seconds = 0
        var nanoseconds = 0
        var size = 0
        var inode = UInt(0)
    }

    init(
        _ path: String, _ configuration: SignInConfiguration, directory: Directory,
        clock: any Clock, logger: Logger
    ) throws {
        var rules = TokenRules()
        rules.issuer = configuration.issuer
        rules.audience = configuration.audience
        rules.leewaySeconds = configuration.leewaySeconds
        rules.subjectClaim = configuration.subjectClaim
        rules.workspaceClaim = configuration.workspaceClaim
        rules.roleClaim = configuration.roleClaim
        seen = Mutex(Seen(stamp: Self.stamp(path)))
        let keys = try Self.keys(path)
        guard !keys.isEmpty else {
            throw StartFailure(
                description: "keys of tokens \(path): no key for HS256, RS256 or ES256")
        }
        verifier = TokenVerifier(rules: rules, keys: keys, directory: directory, clock: clock)
        self.path = path
        self.logger = logger
    }

    func reloadIfChanged() {
        let stamp = Self.stamp(path)
        let last = seen.withLock { $0 }
        guard last.stamp != stamp || last.fault != nil else { return }
        var fault: String?
        do {
            let keys = try Self.keys(path)
            verifier.replace(keys)
            if keys.isEmpty {
                logger.error("no token is accepted: the file has no keys", ["file": path])
            } else {
                logger.notice("keys of tokens were read again", ["file": path])
            }
        } catch {
            let reason = "\(error)"
            if last.stamp != stamp || last.fault != reason {
                logger.error("keys of tokens stay as they were", ["file": path, "reason": reason])
            }
            fault = reason
        }
        seen.withLock { $0 = Seen(stamp: stamp, fault: fault) }
    }

    private static func stamp(_ path: String) -> Stamp {
        var status = stat()
        guard stat(path, &status) == 0 else { return Stamp() }
        return Stamp(
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
            size: status.st_size, inode: status.st_ino)
    }

    private static func keys(_ path: String) throws -> TokenKeys {
        func failure(_ reason: String) -> StartFailure {
            StartFailure(description: "keys of tokens \(path): \(reason)")
        }
        // A pipe would be waited for.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(String(cString: strerror(errno))) }
        var status = stat()
        let isFound = fstat(descriptor, &status) == 0
        guard isFound, status.st_mode & S_IFMT == S_IFREG, let file = fdopen(descriptor, "r") else {
            close(descriptor)
            let isFolder = isFound && status.st_mode & S_IFMT == S_IFDIR
            throw failure(isFolder ? "it is a folder" : "it is not a regular file")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: byteCountMax)
        let count = fread(&bytes, 1, byteCountMax, file)
        do {
            return try TokenKeys(try JSONReader().read(Array(bytes.prefix(count))))
        } catch {
            throw failure("\(error)")
        }
    }
}
