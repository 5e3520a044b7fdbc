// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Identity
internal import JSON
internal import Metering
internal import Observability
internal import Synchronization
internal import TallyCommand

/// The file of the keys that sign tokens. It is read again when it changes, so that keys can be
/// rotated while the service runs; a new one that is wrong is told, and the old keys stay.
final class TokenFile: Sendable {
    private static let byteCountMax = 1 << 20

    let verifier: TokenVerifier
    private let path: String
    private let logger: Logger
    private let seen: Mutex<Stamp>

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
        seen = Mutex(Self.stamp(path))
        verifier = TokenVerifier(
            rules: rules, keys: try Self.keys(path), directory: directory, clock: clock)
        self.path = path
        self.logger = logger
    }

    func reloadIfChanged() {
        let stamp = Self.stamp(path)
        let isNew = seen.withLock { seen in
            defer { seen = stamp }
            return seen != stamp
        }
        guard isNew else { return }
        do {
            verifier.replace(try Self.keys(path))
            logger.notice("keys of tokens were read again", ["file": path])
        } catch {
            logger.error("keys of tokens stay as they were", ["file": path, "reason": "\(error)"])
        }
    }

    private static func stamp(_ path: String) -> Stamp {
        var status = stat()
        guard stat(path, &status) == 0 else { return Stamp() }
        return Stamp(
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
            size: status.st_size, inode: status.st_ino)
    }

    private static func keys(_ path: String) throws -> TokenKeys {
        guard let file = fopen(path, "re") else {
            throw StartFailure(
                description: "keys of tokens \(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: byteCountMax)
        let count = fread(&bytes, 1, byteCountMax, file)
        do {
            return try TokenKeys(try JSONReader().read(Array(bytes.prefix(count))))
        } catch {
            throw StartFailure(description: "keys of tokens \(path): \(error)")
        }
    }
}
