// SPDX-License-Identifier: Apache-2.0

internal import Foundation
public import Observability

/// How the service runs.
public struct ServiceConfiguration: Sendable, Equatable {
    /// When a recorded event is answered.
    public enum Durability: String, Sendable, CaseIterable {
        /// After at most a second's events can be lost with the machine.
        case everysec
        /// After the event is on disk.
        case always
    }

    /// The address to listen on: a name, or an IP address without brackets.
    public var host = "127.0.0.1"
    /// The port to listen on.
    public var port = 8080
    /// The folder of the admin key and of the service's own Redis.
    public var dataFolder = "./data"
    /// The address of the Redis to use; nil means an own one in the data folder.
    public var redisURL: String?
    /// The number of event loops, one thread each.
    public var threads = 1
    /// When a recorded event is answered, with an own Redis.
    public var durability = Durability.always
    /// The meters that have leaderboards.
    public var rankedMeters = ["tokens", "credits_micro"]
    /// How long an event's id is remembered, in hours.
    public var idempotencyHours = 48
    /// How old an event may be, in days.
    public var lateDays = 7
    /// For how long a day's detail stays in Redis, in days.
    public var hotDays = 35
    /// For how long single events can be looked at, in days.
    public var eventsDays = 35
    /// For how many days the audit log is kept.
    public var auditDays = 400
    /// How often the days that changed are written to files, in seconds.
    public var flushIntervalSeconds = 60
    /// The header field in which a gateway names the subject of a check.
    public var subjectHeader = "X-Tally-Subject"
    /// How people of other applications sign in.
    public var signIn = SignInConfiguration()
    /// How alerts are told.
    public var outbound = OutboundConfiguration()
    /// The zone in which days and months begin: an IANA name.
    public var timeZone = "UTC"
    /// How long an answer of Redis may take, in milliseconds.
    public var redisTimeoutMilliseconds = 300
    /// The least level that is logged.
    public var logLevel = Logger.Level.info
    /// Whether a Redis will do that may forget what was counted, or of which that is not known.
    public var allowsVolatile = false
    /// The admin key; nil means the one in the data folder.
    public var adminKey: String?

    /// The defaults, for a machine with so many cores; nil means this one.
    public init(cores: Int? = nil) {
        threads = max(1, (cores ?? ProcessInfo.processInfo.activeProcessorCount) / 2)
    }

    /// Whether only this machine can reach the address.
    public var listensOnLoopback: Bool {
        host == "localhost" || host == "::1" || (host.hasPrefix("127.") && Self.isIPv4(host))
    }

    /// `HOST:PORT`, with brackets around an IPv6 address.
    public var listenAddress: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    static func isIPv4(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { Text.isDigits($0) && $0.count <= 3 && (Int($0) ?? 256) < 256 }
    }

    /// Reads flags, environment and file, in falling order of rank.
    ///
    /// - Returns: The configuration, and what the operator should know about it.
    /// - Throws: `UsageError` with every problem of every source.
    static func load(
        _ arguments: Arguments, environment: [String: String], cores: Int? = nil
    ) throws(UsageError) -> (configuration: ServiceConfiguration, notices: [String]) {
        var arguments = arguments
        var configuration = ServiceConfiguration(cores: cores)
        arguments.refuseWords("tally serve")
        let configFlag = arguments.flags.last { $0.name == "config" }?.value
        let configVariable = environment["TALLY_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        var problems: [String] = []
        if let path = configFlag ?? configVariable {
            do throws(UsageError) {
                let file = try ConfigurationFile(path: path)
                file.apply(options, to: &configuration, &problems)
            } catch {
                problems += error.problems
            }
        }
        let hadUsage = !arguments.problems.isEmpty
        arguments.apply(options, to: &configuration, environment: environment)
        problems += arguments.problems
        // What is wrong may be what the others need.
        if problems.isEmpty { problems = mismatches(configuration) }
        guard problems.isEmpty else { throw UsageError(problems: problems, isUsage: hadUsage) }
        return (configuration, notices(configuration, environment))
    }

    /// Options that do nothing without others.
    private static func mismatches(_ configuration: ServiceConfiguration) -> [String] {
        var problems: [String] = []
        if (configuration.outbound.smtpURL == nil) != (configuration.outbound.smtpFrom == nil) {
            problems.append("smtp-url and smtp-from belong together: both of them, or neither")
        }
        let (signIn, plain) = (configuration.signIn, SignInConfiguration())
        guard signIn.keysFile == nil else { return problems }
        let given = [
            ("jwt-issuer", signIn.issuer != plain.issuer),
            ("jwt-audience", signIn.audience != plain.audience),
            ("jwt-leeway", signIn.leewaySeconds != plain.leewaySeconds),
            ("jwt-subject-claim", signIn.subjectClaim != plain.subjectClaim),
            ("jwt-workspace-claim", signIn.workspaceClaim != plain.workspaceClaim),
            ("jwt-role-claim", signIn.roleClaim != plain.roleClaim),
        ]
        for (name, isGiven) in given where isGiven { problems.append("\(name) needs jwt-keys") }
        return problems
    }

    private static func notices(
        _ configuration: ServiceConfiguration, _ environment: [String: String]
    ) -> [String] {
        var notices: [String] = []
        if !configuration.listensOnLoopback {
            notices.append(
                "other machines can reach \(configuration.listenAddress), and its traffic is not "
                    + "encrypted: put a proxy with TLS before it")
        }
        // No error: orchestrators set variables of their own, such as TALLY_SERVICE_HOST.
        let known = options.map(\.variable)
        for name in environment.keys.sorted() where name.hasPrefix("TALLY_") {
            guard !known.contains(name), let nearest = Text.nearest(to: name, among: known) else {
                continue
            }
            if !["TALLY_URL", "TALLY_KEY"].contains(name) {
                notices.append("the variable \(name) is unknown (did you mean \(nearest)?)")
            }
        }
        return notices
    }
}
