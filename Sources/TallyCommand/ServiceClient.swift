// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc
internal import Transfer

/// Why a client verb failed.
enum ClientError: Error, CustomStringConvertible {
    case unreachable(url: String, reason: String)
    /// The request was sent, and no answer came.
    case lost(url: String, reason: String)
    /// As told, so that nobody knows whether the event of that id was counted.
    indirect case uncertain(ClientError, id: String)
    case refused(status: Int, title: String, detail: String)
    case unexpected(status: Int)
    case unexpectedType(String, asked: String)
    case brokenOff(reason: String)
    case key(AdminKey.Failure)
    case workspace(String, asked: String)
    case input(String)
    /// A line without an id, of what has no name of its own either that could start one.
    case nameless(path: String, line: Int)

    var exitCode: Int32 {
        switch self {
        case .unreachable, .lost, .uncertain, .brokenOff: ExitCode.unavailable
        case .input: ExitCode.noInput
        case .nameless: ExitCode.usage
        case .refused, .unexpected, .unexpectedType, .key, .workspace: ExitCode.failure
        }
    }

    /// Whether the service may have done what it was asked for.
    var mayBeDone: Bool {
        switch self {
        case .lost: true
        case .refused(let status, _, _), .unexpected(let status): !(400..<500).contains(status)
        default: false
        }
    }

    var description: String {
        switch self {
        case .unreachable(let url, let reason):
            "no service answers at \(url) (\(reason)). Start it with: tally serve; or name "
                + "another with --url or TALLY_URL"
        case .lost(let url, let reason): "the answer of \(url) was lost (\(reason))"
        case .uncertain(let error, let id):
            "\(error.description). It is not known whether the event was counted: repeat it with "
                + "--id \(id), and it counts once"
        case .refused(401, let title, _):
            "\(title): give a --key, set TALLY_KEY, or name the service's data folder with --data"
        case .refused(let status, let title, let detail):
            "the service refused (\(status)): \(title)" + (detail.isEmpty ? "" : ": \(detail)")
        case .unexpected(let status):
            "the answer (\(status)) is none of Tally's: does --url name the service?"
        case .unexpectedType(let type, let asked):
            "the answer (\(type.isEmpty ? "of no type" : type), not \(asked)) is none of "
                + "Tally's: does --url name the service?"
        case .brokenOff(let reason): "what came is not whole: the service broke off (\(reason))"
        case .key(let failure): failure.description
        case .workspace(let its, let asked):
            "the key is of the workspace \(its), not \(asked): another takes another key"
        case .input(let reason): reason
        case .nameless(let path, let line):
            "line \(line) of \(path) has no id, and can get none by a name that is the same each time: "
                + "give what comes a --source NAME of its own"
        }
    }
}

/// How to reach a service: what all client verbs have in common.
struct Access: Sendable {
    var url = "http://127.0.0.1:8080"
    var dataFolder = "./data"
    var key: String?
    var adminKey: String?
    /// The workspace to act in; nil means that of the key.
    var workspace: String?
}

protocol HasAccess: Sendable {
    var access: Access { get set }
}

extension HasAccess {
    /// The options of every client verb.
    static var accessOptions: [Option<Self>] {
        [
            Option(
                "url", .text, "URL", fallback: "http://127.0.0.1:8080",
                sources: [.flag, .environment], secrecy: .address, help: "Address of the service",
                apply: { settings, text throws(BadValue) in settings.access.url = try url(text) }),
            Option(
                "data", .text, "DIR", fallback: "./data", sources: [.flag, .environment],
                help: "Folder of a service on this machine, for its admin.key",
                apply: { settings, text throws(BadValue) in
                    settings.access.dataFolder = try Check.path(text)
                }),
            Option(
                "workspace", .text, "ID", fallback: "the key's", sources: [.flag, .environment],
                help: "Workspace to act in; the operator's key is for all of them",
                apply: { settings, text throws(BadValue) in
                    settings.access.workspace = try Check.workspace(text)
                }),
            Option(
                "key", .text, "KEY", sources: [.flag, .environment], secrecy: .hidden,
                help: "Key to use, seen in the list of processes; else TALLY_KEY, "
                    + "TALLY_ADMIN_KEY, DIR/admin.key",
                apply: { settings, text throws(BadValue) in
                    settings.access.key = try AdminKey.checked(text)
                }),
            Option(
                "admin-key", .text, sources: .environment, secrecy: .hidden,
                help: "Admin key, if there is no --key and no TALLY_KEY",
                apply: { settings, text throws(BadValue) in
                    settings.access.adminKey = try AdminKey.checked(text)
                }),
        ]
    }

    private static func url(_ text: String) throws(BadValue) -> String {
        guard let parts = URLComponents(string: text),
            parts.scheme == "http" || parts.scheme == "https", parts.host?.isEmpty == false,
            parts.user == nil, parts.query == nil, parts.fragment == nil
        else { throw BadValue("http://HOST[:PORT] or https://HOST[:PORT]") }
        return text.hasSuffix("/") ? String(text.dropLast()) : text
    }
}

/// Speaks the service's API.
struct ServiceClient {
    /// How often, and how long, a busy service is asked again.
    struct Patience {
        var attempts = 7
        /// How often a request is sent whose answers are lost: each may take a minute.
        var lossesMax = 3
        var firstWait = Duration.milliseconds(200)
        var longestWait = Duration.seconds(10)
        /// Whether a service that does not answer is asked again too.
        var includesUnreachable = false
    }

    private struct Problem: Decodable {
        var code: String?
        var title: String?
        var detail: String?
    }

    var patience = Patience()
    private let url: String
    private let http: HTTPClient

    /// - Throws: also when the key is not for the workspace that is named.
    init(_ access: Access) throws(ClientError) {
        url = access.url
        var key = access.key ?? access.adminKey
        do throws(AdminKey.Failure) {
            if key == nil { key = try AdminKey.read(AdminKey.path(in: access.dataFolder)) }
        } catch {
            throw .key(error)
        }
        http = HTTPClient(
            key: key, agent: "tally/\(TallyCommand.version)",
            headers: access.workspace.map { ["X-Tally-Workspace: \($0)"] } ?? [])
        if let workspace = access.workspace { try check(workspace) }
    }

    private struct Workspace: Decodable {
        var id: String
    }

    /// Only the operator's key is for more than one workspace: with any other the service takes the
    /// key's, and what was meant for one workspace would be counted in another.
    private func check(_ workspace: String) throws(ClientError) {
        let its = try send("/v1/workspace", as: Workspace.self).id
        guard its == workspace else { throw .workspace(its, asked: workspace) }
    }

    /// Sends a request that may safely be repeated, and decodes its answer.
    func send<Answer: Decodable>(
        _ path: String, body: String? = nil, contentType: String = "application/json",
        as type: Answer.Type
    ) throws(ClientError) -> Answer {
        var wait = patience.firstWait
        var losses = 0
        for attempt in 1...max(1, patience.attempts) {
            let isLast = attempt == patience.attempts
            let response: HTTPClient.Response
            do throws(HTTPClient.Unreachable) {
                response = try http.send(
                    url + path, body: body.map { Array($0.utf8) }, contentType: contentType)
            } catch {
                if error.wasSent { losses += 1 }
                // One that took a request is the right address: it may be started anew.
                let isWorthWaiting = patience.includesUnreachable || losses > 0
                guard isWorthWaiting, losses < patience.lossesMax, !isLast else {
                    throw losses > 0
                        ? .lost(url: url, reason: error.reason)
                        : .unreachable(url: url, reason: error.reason)
                }
                pause(wait)
                wait *= 2
                continue
            }
            guard isBusy(response), !isLast else { return try decode(response) }
            pause(response.retryAfter > 0 ? .seconds(response.retryAfter) : wait)
            wait *= 2
        }
        throw .unexpected(status: 503)
    }

    /// Hands the body of an answer over as it comes, if it is of a media type. A service that is busy is asked again, unless
    /// a part of it came.
    func download(
        _ path: String, as mediaType: String,
        receive: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var wait = patience.firstWait
        for attempt in 1...max(1, patience.attempts) {
            let response: HTTPClient.Response
            do {
                response = try http.download(url + path, as: mediaType, receive: receive)
            } catch let error as HTTPClient.Unreachable {
                throw ClientError.unreachable(url: url, reason: error.reason)
            } catch let error as HTTPClient.UnexpectedType {
                throw ClientError.unexpectedType(error.type, asked: mediaType)
            } catch let error as HTTPClient.BrokenOff {
                throw ClientError.brokenOff(reason: error.reason)
            }
            if response.status == 200 { return }
            guard isBusy(response), attempt < patience.attempts else {
                throw refusal(response)
            }
            pause(response.retryAfter > 0 ? .seconds(response.retryAfter) : wait)
            wait *= 2
        }
        throw ClientError.unexpected(status: 503)
    }

    /// Blocks: a client verb has nothing else to do.
    private func pause(_ wait: Duration) {
        let wait = min(wait, patience.longestWait)
        usleep(UInt32(wait / .microseconds(1)))
    }

    private func decode<Answer: Decodable>(
        _ response: HTTPClient.Response
    ) throws(ClientError) -> Answer {
        let data = Data(response.body)
        if response.status == 200, let answer = try? JSONDecoder().decode(Answer.self, from: data) {
            return answer
        }
        throw refusal(response)
    }

    /// Whether the service may answer soon. What is not known, or cannot be read, will not be in a moment either.
    private func isBusy(_ response: HTTPClient.Response) -> Bool {
        guard response.status == 503 else { return false }
        let problem = try? JSONDecoder().decode(Problem.self, from: Data(response.body))
        return !["incomplete", "data_conflict"].contains(problem?.code)
    }

    private func refusal(_ response: HTTPClient.Response) -> ClientError {
        if response.status >= 400,
            let problem = try? JSONDecoder().decode(Problem.self, from: Data(response.body)),
            let title = problem.title
        {
            return .refused(status: response.status, title: title, detail: problem.detail ?? "")
        }
        return .unexpected(status: response.status)
    }
}
