// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import TallyCommand

@Suite struct ConfigurationTests {
    private static let secret = "hunter2-hunter2-hunter2"

    private func load(
        _ words: [String] = [], _ environment: [String: String] = [:]
    ) throws -> ServiceConfiguration {
        let arguments = Arguments(words, ServiceConfiguration.options)
        return try ServiceConfiguration.load(arguments, environment: environment, cores: 6)
            .configuration
    }

    private func problems(
        _ words: [String] = [], _ environment: [String: String] = [:]
    ) -> [String] {
        do {
            _ = try load(words, environment)
            return []
        } catch { return (error as? UsageError)?.problems ?? [] }
    }

    @Test func `Without any option the defaults hold`() throws {
        let configuration = try load()
        #expect(configuration == ServiceConfiguration(cores: 6))
        #expect(configuration.listenAddress == "127.0.0.1:8080")
        #expect(configuration.threads == 3)
        #expect(ServiceConfiguration(cores: 1).threads == 1)
        #expect(configuration.durability == .always)
        #expect(configuration.redisURL == nil)
    }

    @Test func `Flags outrank variables, and variables the file`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.file(
            "tally.json5", "{late_days: 1, threads: 2, // here\n idempotency_hours: 3,}")
        let environment = ["TALLY_LATE_DAYS": "4", "TALLY_THREADS": "5", "TALLY_CONFIG": file]
        let configuration = try load(["--late-days=6"], environment)
        #expect(configuration.lateDays == 6)
        #expect(configuration.threads == 5)
        #expect(configuration.idempotencyHours == 3)
    }

    @Test func `Every option can come from each of its sources`() throws {
        let values = [
            "listen": "[::1]:9000", "data": "/var/lib/tally", "redis": "redis://u:p%40@h:1/2",
            "threads": "4", "durability": "everysec", "ranked-meters": "tokens,files",
            "idempotency-hours": "840", "late-days": "0", "hot-days": "2", "events-days": "400",
            "audit-days": "3650",
            "time-zone": "Europe/Berlin",
            "flush-interval": "86400", "redis-timeout-ms": "10", "log-level": "debug",
            "allow-volatile": "true", "subject-header": "X-User-ID",
            "allow-private-webhooks": "true", "smtp-url": "smtp://mail.example.com:25",
            "smtp-from": "tally@example.com", "smtp-user": "tally", "smtp-password": "a b",
            "admin-key": Self.secret,
            "jwt-keys": "/etc/tally/jwks.json", "jwt-issuer": "https://issuer.example",
            "jwt-audience": "tally", "jwt-leeway": "0", "jwt-subject-claim": "uid",
            "jwt-workspace-claim": "tenant", "jwt-role-claim": "may",
            "cors-origins": "https://chat.example.com,http://localhost:3000",
        ]
        let options = ServiceConfiguration.options.filter { $0.name != "config" }
        #expect(Set(options.map(\.name)) == Set(values.keys))
        var words: [String] = []
        var environment: [String: String] = [:]
        var lines: [String] = []
        for option in options {
            let value = try #require(values[option.name])
            environment[option.variable] = value
            if option.sources.contains(.flag) {
                words += option.shape == .flag ? [option.flag] : [option.flag, value]
            }
            let isBare = option.shape == .number || option.shape == .flag
            lines.append("\"\(option.key)\": " + (isBare ? value : "'\(value)'"))
        }
        let folder = try TemporaryFolder()
        let file = try folder.file("tally.json5", "{\(lines.joined(separator: ",\n"))}")
        let configuration = try load([], environment)
        #expect(configuration.host == "::1")
        #expect(configuration.listenAddress == "[::1]:9000")
        #expect(configuration.rankedMeters == ["tokens", "files"])
        #expect(configuration.adminKey == Self.secret)
        let signIn = SignInConfiguration(
            keysFile: "/etc/tally/jwks.json", issuer: "https://issuer.example", audience: "tally",
            leewaySeconds: 0, subjectClaim: "uid", workspaceClaim: "tenant", roleClaim: "may",
            corsOrigins: ["https://chat.example.com", "http://localhost:3000"])
        #expect(configuration.signIn == signIn)
        #expect(try load(["--config", file]) == configuration)
        let hidden = options.filter { !$0.sources.contains(.flag) }.map(\.variable)
        #expect(hidden.count == 3)
        #expect(try load(words, environment.filter { hidden.contains($0.key) }) == configuration)
    }

    @Test(arguments: [
        ("listen", ["8080", ":8080", "h:0", "h:65536", "h:-1", "h:+1", "h: 1", "::1:80", "[h]:1"]),
        ("listen", ["256.0.0.1:80", "1.2.3:80", "-a:80", "a b:80", "a..b:80", "h:99999999999999"]),
        (
            "redis",
            ["localhost", "http://h", "rediss://h", "redis://", "redis://h:0", "redis://h/x"]
        ),
        ("redis", ["unix://relative", "unix:///" + String(repeating: "x", count: 107)]),
        (
            "redis",
            [
                "redis://h/70000", "redis://127.0.0.1:1/70000", "redis://:pa%ss@127.0.0.1:1",
                "redis://u@h", "unix:///a?foo=9",
            ]
        ),
        ("threads", ["0", "257", "-1", "1.5", "x", "١", "99999999999999999999"]),
        ("smtp-url", ["mail", "http://h", "smtp://", "smtp://u:p@h", "smtp://h/x", "smtp://a b"]),
        (
            "smtp-url",
            ["smtp://h:99999", "smtp://h:0", "smtp://h:", "smtps://[::1]:x", "smtp://::1"]
        ),
        (
            "subject-header",
            [
                "Host", "content-length", "X-Guest-ID", "Transfer-Encoding", "Connection", "COOKIE",
            ]
        ),
        ("smtp-from", ["a", "@b", "a@", "a@b@c", "a b@c", "<a@b>", "a@b\r\nBcc: c@d"]),
        ("durability", ["never", "ALWAYS"]), ("log-level", ["loud"]),
        ("ranked-meters", ["a,,b", "a,a", "A", "a b", "1a"]),
        ("idempotency-hours", ["0", "841"]), ("late-days", ["-1", "36"]),
        ("hot-days", ["1", "401"]), ("events-days", ["0", "401"]),
        ("audit-days", ["0", "3651"]),
        ("time-zone", ["Mars/Base", "../../etc/passwd", "GMT+25", "utc"]),
        ("flush-interval", ["0", "86401"]), ("redis-timeout-ms", ["9", "60001"]),
        ("allow-volatile", ["maybe"]), ("subject-header", ["a b", "Authorization", "ü", "a:"]),
        ("jwt-leeway", ["-1", "601", "x"]), ("jwt-role-claim", ["a\u{7}"]),
        (
            "cors-origins",
            ["chat.example.com", "https://", "https://h/path", "https://H", "*,ftp://h"]
        ),
        ("admin-key", ["short", "123456789012345", "with a space in it", "zeichenköpfe-äöü"]),
    ])
    func `A bad value is refused, with option, source and value`(name: String, bad: [String]) {
        for value in bad {
            let variable = "TALLY_" + name.replacing("-", with: "_").uppercased()
            let found = problems([], [variable: value])
            #expect(found.count == 1, "\(name)=\(value)")
            #expect(found.first?.contains("\(variable) is ") == true)
            let isShown = found.first?.contains(value) == true
            if name == "admin-key" { #expect(!isShown) }
            if name == "threads" { #expect(isShown) }
        }
    }

    @Test(arguments: [
        ["serve"], ["verify", "--snapshots", "s"], ["restore", "s"],
    ])
    func `An address of Redis that cannot be used names its option, and why`(
        words: [String]
    ) async {
        let flag = await tally(words + ["--redis", "redis://h/70000"])
        #expect(flag.code == 2)
        let reason = "the database is a number from 0 to 65535"
        #expect(flag.errors.contains("--redis is \"redis://h/70000\", but must be redis://"))
        #expect(flag.errors.contains(" redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or"))
        #expect(flag.errors.contains(reason), "\(flag.errors)")
        let variable = await tally(words, ["TALLY_REDIS": "redis://:pa%ss@127.0.0.1:1"])
        #expect(variable.code == 2)
        #expect(variable.errors.contains("TALLY_REDIS is \"redis://***@127.0.0.1:1\", but must"))
        #expect(!variable.errors.contains("pa%ss"), "\(variable.errors)")
        let parameter = await tally(words, ["TALLY_REDIS": "unix:///a?foo=9"])
        #expect(parameter.code == 2)
        #expect(parameter.errors.contains("TALLY_REDIS is (hidden)"), "\(parameter.errors)")
    }

    @Test(arguments: [
        ["serve", "--cors-origins", "https://u:SECRET@chat.example.com"],
        ["serve", "--cors-origins", "https://a,https://u:7,SECRET@h"],
        ["serve", "--listen", "http://u:SECRET@h:80"], ["serve", "--listen", "u:SECRET@h:80"],
        ["serve", "--smtp-from", "smtp://u:SECRET@h"],
        ["serve", "--jwt-issuer", "https://u:SECRET@h/\u{7}"],
        ["serve", "redis://u:SECRET@h"], ["serve", "--redis://u:SECRET@h"], ["redis://u:SECRET@h"],
        ["record", "a", "redis://u:SECRET@h"], ["import", "https://u:SECRET@h/e.ndjson"],
        ["verify", "--snapshots", "https://u:SECRET@h/rollups"],
        ["serve", "--config", "https://u:SECRET@h/tally.json5"],
    ])
    func `No message repeats the password of an address, wherever it was put`(words: [String]) async
    {
        let words = words.map { $0.replacing("SECRET", with: Self.secret) }
        let outcome = await tally(words, ["TALLY_KEY": "tly_a-key-0123456789"])
        #expect(outcome.code != 0)
        #expect(!outcome.errors.isEmpty && !outcome.errors.contains("hunter2"), "\(outcome.errors)")
        #expect(outcome.configuration == nil)
    }

    @Test func `Of a list without passwords it is told what is wrong`() {
        let origins = problems([], ["TALLY_CORS_ORIGINS": "https://a.example,http://h/path"])
        #expect(origins.first?.contains("is \"https://a.example,http://h/path\", but") == true)
        let address = problems([], ["TALLY_CORS_ORIGINS": "https://ann:pw@h"])
        #expect(address.first?.contains("is \"https://***@h\", but must be") == true, "\(address)")
        let long = String(repeating: "x", count: 10_000)
        #expect(problems(["--listen", long]).first?.utf8.count ?? 0 < 300)
    }

    @Test func `All problems of all sources are reported together`() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.file("tally.json5", "{\n redis_ulr: 'redis://h',\n threads: '4'\n}")
        let outcome = await tally(
            ["serve", "--listen", "x", "--lat-days=1", "--config=\(file)"],
            ["TALLY_DURABILITY": "never"])
        #expect(outcome.code == 2)
        #expect(outcome.configuration == nil)
        for part in [
            ":2: unknown key \"redis_ulr\" (did you mean redis?)", ":3: threads must be a number",
            "--listen is \"x\", but must be HOST:PORT", "--lat-days (did you mean --late-days?)",
            "TALLY_DURABILITY is \"never\", but must be one of everysec, always",
        ] { #expect(outcome.errors.contains(part), "\(part) in \(outcome.errors)") }
    }

    @Test(arguments: [
        ("", "no JSON5 object"), ("[1]", "no JSON5 object"), ("{a", "no JSON5 object"),
        ("{threads: 1,\n threads: 2}", ":2: \"threads\" is given twice"),
        ("{threads: 1,\n/* \n */ 'thre\\u0061ds': 2}", ":3: \"threads\" is given twice"),
        ("{threads: 1.5}", "but must be a whole number"), ("{threads: true}", "must be a number"),
        ("{threads: null}", "must be a number"), ("{threads: {a: 1}}", "must be a number"),
        ("{listen: 8080}", "must be a string"), ("{allow_volatile: 1}", "must be true or false"),
        ("{ranked_meters: [1]}", "must be a list of strings"), ("{config: 'x'}", "unknown key"),
    ])
    func `A bad file is refused, with the place`(text: String, problem: String) throws {
        let folder = try TemporaryFolder()
        let found = problems(["--config", try folder.file("tally.json5", text)])
        #expect(found.count == 1)
        #expect(found.first?.contains(problem) == true, "\(found)")
    }

    @Test func `A file that is none is refused`() throws {
        let folder = try TemporaryFolder()
        let large = try folder.file("large", String(repeating: " ", count: 1 << 20 + 1))
        for (path, reason) in [
            (folder.path, "it is a folder"), (folder.path + "/none", "No such file or directory"),
            ("/dev/null", "it is not a regular file"), (large, "it is larger"),
        ] {
            let found = problems(["--config", path])
            #expect(found == ["\(path): cannot be read as a file of at most 1 MiB: \(reason)"])
        }
    }

    @Test(arguments: [
        (["--smtp-url", "mail", "--smtp-from", "a@b"], ["--smtp-url is (hidden), but must be"]),
        (["--smtp-url", "smtp://h", "--smtp-from", "a"], ["--smtp-from is \"a\", but must be"]),
        (["--smtp-url", "smtp://[::1]"], ["smtp-url and smtp-from belong together"]),
        (
            ["--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-leeway", "5"],
            ["jwt-issuer needs jwt-keys", "jwt-audience needs", "jwt-leeway needs"]
        ),
        (
            [
                "--jwt-subject-claim", "s", "--jwt-workspace-claim", "w", "--jwt-role-claim", "r",
            ], ["jwt-subject-claim needs", "jwt-workspace-claim needs", "jwt-role-claim needs"]
        ),
        (["--jwt-issuer", "i", "--jwt-keys", "f"], []),
        (["--smtp-url", "smtps://[::1]:465", "--smtp-from", "a@b"], []),
    ])
    func `Options that need others are refused without them, and only then`(
        words: [String], expected: [String]
    ) {
        let found = problems(words)
        #expect(found.count == expected.count, "\(found)")
        for (problem, beginning) in zip(found, expected) {
            #expect(problem.hasPrefix(beginning), "\(problem)")
        }
    }

    @Test func `A key in a file that others may read is refused`() throws {
        let folder = try TemporaryFolder()
        let text = "{admin_key: '\(Self.secret)'}"
        let open = try folder.file("open.json5", text, mode: 0o644)
        #expect(problems(["--config", open]).first?.contains("chmod 600") == true)
        #expect(try load(["--config", folder.file("own.json5", text)]).adminKey == Self.secret)
    }

    @Test func `A list in a file may be a list or a text`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.file("t.json5", "{ranked_meters: ['tokens', 'files']}")
        #expect(try load(["--config", file]).rankedMeters == ["tokens", "files"])
    }

    @Test(arguments: [
        (["serve", "--admin-key", secret], [:]), (["serve", "--admin-key=\(secret)"], [:]),
        (["serve", "--admin-kye", secret], [:]), (["serve", "-k\(secret)"], [:]),
        (["serve", "--redis", "redis://u:\(secret)@h:x"], [:]),
        (["serve", "--redis", "redis:\(secret)@h"], [:]),
        (["serve", "--redis", "http://:\(secret)"], [:]),
        (["serve", "--redis", "http://h/\(secret)@x"], [:]),
        (["serve"], ["TALLY_REDIS": "redis://:\(secret)%@h"]),
        (["serve"], ["TALLY_SMTP_URL": "smtp://u:\(secret)@h"]),
        (["serve", "--smtp-url", "smtp:\(secret)@h"], [:]),
        (["serve", "--threads=0"], ["TALLY_ADMIN_KEY": secret]),
        (["serve"], ["TALLY_ADMIN_KEY": "ö" + secret]),
        (["top", "tokens", "--url", "http://u:\(secret)@127.0.0.1:1"], [:]),
        (["top", "tokens", "--url", "http://127.0.0.1:1"], ["TALLY_KEY": secret]),
        (["top", "tokens", "--url", "http://127.0.0.1:1", "--key", secret], [:]),
        (["top", "tokens", "--key", "ö" + secret], [:]),
        (["serve", "--help"], ["TALLY_ADMIN_KEY": secret]),
    ])
    func `No output holds a secret`(words: [String], environment: [String: String]) async {
        let outcome = await tally(words, environment)
        #expect(!outcome.errors.contains("hunter2"), "\(outcome.errors)")
        #expect(!outcome.output.contains("hunter2"))
        #expect(outcome.configuration == nil)
    }

    @Test func `An address that others can reach is noted, and so is a variable misspelt`() throws {
        let (_, notices) = try ServiceConfiguration.load(
            Arguments(["--listen", "0.0.0.0:80"], ServiceConfiguration.options),
            environment: ["TALLY_THREDS": "1", "TALLY_SERVICE_HOST": "x", "TALLY_REDIS": ""])
        #expect(notices.count == 2)
        #expect(notices.last?.contains("TALLY_THREADS") == true)
    }
}
