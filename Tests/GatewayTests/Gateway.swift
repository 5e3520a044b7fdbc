// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// The gateways whose configurations docs/gateways.md shows.
enum Gateway: String, CaseIterable {
    case nginx = "nginx.conf"
    case caddy = "Caddyfile"
    case envoy = "envoy.yaml"

    /// What happens to requests when Tally cannot be asked.
    enum OnError: String, CaseIterable { case deny, allow }

    static let fixtures = "\(TallyProcess.package)/Tests/GatewayTests/Fixtures"
    static let password = "open-sesame"

    /// The configuration as it is shown.
    var shown: String {
        get throws {
            try String(contentsOfFile: "\(Self.fixtures)/\(rawValue)", encoding: .utf8)
        }
    }

    /// A line that ends with `# to allow: ` is replaced by what stands behind it.
    static func allowing(_ configuration: String) -> String {
        configuration.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guard let mark = line.range(of: "# to allow: ") else { return String(line) }
            return String(line.prefix { $0 == " " || $0 == "\t" } + line[mark.upperBound...])
        }.joined(separator: "\n")
    }

    /// The configuration for a test: other ports, another key, files in a folder of the test.
    func configuration(
        _ ports: Ports, _ onError: OnError, folder: String
    ) throws -> String {
        var text = try shown
        if onError == .allow { text = Self.allowing(text) }
        let replacements = [
            (address(8000), address(ports.gateway)), (address(8080), address(ports.tally)),
            (address(9000), address(ports.application)),
            ("YOUR_TALLY_KEY", TallyProcess.key), ("/etc/\(self)/tally-users", "\(folder)/users"),
        ]
        for (shown, used) in replacements where !(self == .caddy && shown == "YOUR_TALLY_KEY") {
            guard text.contains(shown) else {
                throw Failure(description: "\(rawValue) does not mention \(shown)")
            }
            text = text.replacing(shown, with: used)
        }
        return text
    }

    private func address(_ port: UInt16) -> String {
        self == .envoy ? "address: 127.0.0.1, port_value: \(port)" : "127.0.0.1:\(port)"
    }

    /// alice and bob, with `password`. In Caddy's format at the lowest cost that bcrypt has.
    private var users: String {
        let (separator, hash) =
            self == .caddy
            ? (" ", "$2b$04$tallytallytallytallytOcaF72ynfb4Vh.L5bDSg0YQahxFZrmQy")
            : (":", "{SHA}piGucRdTwGb7+i3S1svNik60+fw=")
        return ["alice", "bob"].map { "\($0)\(separator)\(hash)\n" }.joined()
    }

    /// Writes what the gateway reads into the folder and starts it.
    func start(_ ports: Ports, _ onError: OnError, folder: String) throws -> ChildProcess {
        let path = "\(folder)/\(rawValue)"
        try configuration(ports, onError, folder: folder).write(
            toFile: path, atomically: true, encoding: .utf8)
        try users.write(toFile: "\(folder)/users", atomically: true, encoding: .utf8)
        let installed = "\(TallyProcess.package)/.build/gateways/bin"
        let command: [String]
        switch self {
        case .nginx:
            try Self.main(including: path, folder: folder).write(
                toFile: "\(folder)/main.conf", atomically: true, encoding: .utf8)
            // Not everyone has the folder on the path.
            command = [
                "/usr/sbin/nginx", "-e", "stderr", "-p", folder, "-c", "\(folder)/main.conf",
            ]
        case .caddy:
            command = ["\(installed)/caddy", "run", "--config", path, "--adapter", "caddyfile"]
        case .envoy:
            command = [
                "\(installed)/envoy", "--config-path", path, "--disable-hot-restart",
                "--concurrency", "1", "--log-level", "warning",
            ]
        }
        let process = try ChildProcess(
            command, log: "\(folder)/gateway.log",
            environment: [
                "TALLY_KEY": TallyProcess.key, "HOME": folder, "XDG_CONFIG_HOME": folder,
                "XDG_DATA_HOME": folder, "CADDY_ADMIN": "unix/\(folder)/admin.sock",
            ])
        try process.waitUntilAnswering(port: ports.gateway)
        return process
    }

    /// What surrounds conf.d on a real machine; one process, which writes below the folder only.
    private static func main(including path: String, folder: String) -> String {
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        return """
            daemon off;
            master_process off;
            pid \(folder)/pid;
            events {}
            http {
                access_log off;
                \(kinds.map { "\($0)_temp_path \(folder)/\($0);" }.joined(separator: " "))
                include \(path);
            }

            """
    }
}

/// What a site lacks.
struct Failure: Error {
    let description: String
}

/// Who listens where.
struct Ports {
    let tally: UInt16
    let application: UInt16
    let gateway: UInt16
}
