// SPDX-License-Identifier: Apache-2.0

import Cryptography
import EventLoop
import HTTPServer
import Identity
import JSON
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// A workspace that takes the id of one that was deleted has nothing of it, and keeps what is its own.
@Suite struct WorkspaceReuseTests {
    /// Header fields of a new administrator of the workspace `acme`.
    private static func admin(_ api: Harness) async throws -> [String: String] {
        let made = await api.send(.post, "/v1/keys", #"{"role":"admin","workspace":"acme"}"#)
        return [
            "Authorization": "Bearer \(try #require(made.json["secret"] as? String))",
            "Content-Type": "application/json",
        ]
    }

    /// Workspaces and keys, as another process knows them.
    private static func store(_ redis: RedisServer, on loop: EventLoop) async throws
        -> (store: DirectoryStore, client: RedisClient)
    {
        let client = RedisClient(
            on: loop, configuration: RedisConfiguration(address: .unix(redis.socketPath)),
            scripts: [ScriptLibrary.changeDirectory, ScriptLibrary.unlinkDoomed],
            metrics: MetricsRegistry(), logger: Logger(level: .error))
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        let store = DirectoryStore(
            client: client, directory: Directory(defaults: WorkspaceSettings()),
            clock: ManualClock(1_800_000_000_000), json: try JSONReader())
        try await store.refresh()
        return (store, client)
    }

    @discardableResult private static func ask(
        _ client: RedisClient, _ name: StaticString, _ words: String...
    ) async throws -> RedisValue {
        var command = RedisCommand(name)
        for word in words { command.append(word) }
        return try await client.send(command)
    }

    /// What the keys of the workspace begin with.
    private static func prefix(_ store: DirectoryStore, _ id: WorkspaceID) throws -> String {
        let settings = try #require(store.directory.settings(of: id))
        return "t1:{\(id.text)@\(settings.birth)}:"
    }

    /// Names of keys that workspaces of the id have or had.
    private static func names(_ client: RedisClient) async throws -> [String] {
        try await ask(client, "KEYS", "t1:{acme*").array?.compactMap(\.text) ?? []
    }

    @Test func `Who is late with removing a workspace leaves the next one alone`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (fast, one) = try await Self.store(redis, on: host.loop)
                let (late, other) = try await Self.store(redis, on: host.loop)
                let id = try #require(WorkspaceID("acme"))
                for round in 0..<3 {
                    #expect(try await fast.addWorkspace(WorkspaceSettings(id: id)))
                    let first = try Self.prefix(fast, id)
                    try await Self.ask(one, "HSET", first + "subjects", "old", "x")
                    try await Self.ask(one, "HSET", first + "rules", "version", "3", "zone", "UTC")
                    #expect(try await fast.removeWorkspace(id))
                    try await late.refresh()
                    let doomed = try #require(late.directory.doomed.first)
                    #expect(try await late.isHere(doomed))
                    try await fast.removeData(of: doomed)
                    #expect(try await Self.names(one).allSatisfy { $0.hasSuffix(":rules") })

                    #expect(try await fast.addWorkspace(WorkspaceSettings(id: id)))
                    let next = try Self.prefix(fast, id) + "subjects"
                    try await Self.ask(one, "HSET", next, "new", "\(round)")
                    // What was on its way for the first one all the time.
                    try await Self.ask(other, "HSET", first + "subjects", "late", "x")
                    if round == 1 {
                        // It may be going already, too: its own removal is another one.
                        #expect(try await fast.removeWorkspace(id))
                    }
                    #expect(try await late.isHere(doomed) == false)
                    try await late.removeData(of: doomed)
                    try await late.removeOrphans()
                    #expect(try await Self.ask(one, "HGET", next, "new").text == "\(round)")
                    // All that is left keeps late batches from being counted, for ever.
                    #expect(
                        try await Self.names(one).filter { $0.hasPrefix(first) }
                            == [first + "rules"])
                    #expect(
                        try await Self.ask(one, "HGETALL", first + "rules").array?.map(\.text)
                            == ["version", "deleted"])
                    try await late.refresh()
                    #expect((late.directory.settings(of: id) == nil) == (round == 1))

                    if round != 1 { #expect(try await late.removeWorkspace(id)) }
                    try await late.removeData(of: try #require(late.directory.doomed.first))
                    #expect(late.directory.doomed.isEmpty)
                }
                one.close()
                other.close()
            }
        }
    }

    private static func token(_ claims: String, _ key: [UInt8]) -> [UInt8] {
        let parts = [#"{"alg":"HS256"}"#, claims].map { base64URLEncoded(Array($0.utf8)) }
        let message = parts[0] + Array(".".utf8) + parts[1]
        return message + Array(".".utf8) + base64URLEncoded(hmacSHA256(of: message, key: key))
    }

    @Test func `Tokens of the first one open nothing of the next`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (store, client) = try await Self.store(redis, on: host.loop)
                let (other, second) = try await Self.store(redis, on: host.loop)
                let id = try #require(WorkspaceID("acme"))
                let key = Array(String(repeating: "k", count: 32).utf8)
                let text = String(decoding: base64URLEncoded(key), as: UTF8.self)
                let json = try JSONReader()
                let set = try json.read(Array(#"{"keys":[{"kty":"oct","k":"\#(text)"}]}"#.utf8))
                let (keys, noon) = (try TokenKeys(set), 1_800_000_000)
                func isTaken(_ issued: String, in workspace: String = "acme") async throws -> Bool {
                    let claims =
                        #"{"sub":"a","exp":\#(noon + 60)\#(issued),"workspace":"\#(workspace)"}"#
                    // As another process knows it.
                    try await other.refresh()
                    let verifier = TokenVerifier(
                        rules: TokenRules(), keys: keys, directory: other.directory,
                        clock: ManualClock(noon * 1000))
                    return verifier.principal(of: Self.token(claims, key), json) != nil
                }
                #expect(try await store.addWorkspace(WorkspaceSettings(id: id)))
                #expect(try await isTaken(""))
                #expect(try await isTaken(#","iat":1"#))
                #expect(try await store.removeWorkspace(id))
                try await store.removeData(of: try #require(store.directory.doomed.first))
                #expect(try await isTaken(#","iat":\#(noon)"#) == false)
                #expect(try await store.addWorkspace(WorkspaceSettings(id: id)))
                for issued in ["", #","iat":\#(noon - 1)"#, #","iat":"x""#, #","iat":null"#] {
                    #expect(try await isTaken(issued) == false, "\(issued)")
                    #expect(try await isTaken(issued, in: "default"), "\(issued)")
                }
                #expect(try await isTaken(#","iat":\#(noon)"#))
                // It says so itself, as its snapshots do: notes may be lost with Redis.
                try await Self.ask(client, "DEL", "t1:{@}:removed")
                try await Self.ask(client, "INCR", "t1:{@}:version")
                #expect(try await isTaken(#","iat":\#(noon - 1)"#) == false)
                let entry = try #require(store.directory.settings(of: id)).entry
                let settings = WorkspaceSettings(id, entry: entry)
                #expect(settings?.takenAt == Timestamp(milliseconds: noon * 1000))
                client.close()
                second.close()
            }
        }
    }

    /// What a process wrote late for a workspace, and ended before it could take it away.
    @Test func `What is left of a workspace goes, but not what was lost otherwise`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let (store, client) = try await Self.store(redis, on: host.loop)
                let (other, second) = try await Self.store(redis, on: host.loop)
                let id = try #require(WorkspaceID("acme"))
                #expect(try await store.addWorkspace(WorkspaceSettings(id: id)))
                let present = try Self.prefix(store, id)
                for name in ["t1:{acme@late}:", "t1:{acme@lost}:", "t1:{gone@late}:", present] {
                    try await Self.ask(client, "HSET", name + "meta", "dataset", "x")
                    try await Self.ask(client, "HSET", name + "subjects", "s", "x")
                }
                // What is merely not found is left alone: it may be all that there is.
                for name in [
                    "acme@late", "gone@late", String(present.dropFirst(4).prefix { $0 != "}" }),
                ] {
                    try await Self.ask(client, "HSET", "t1:{@}:removed", name, "1")
                }
                try await Self.ask(client, "HSET", "t1:{default}:subjects", "s", "x")
                // It has not heard of the workspace, and looks at it all the same.
                try await other.removeOrphans()
                let names = try await Self.ask(client, "KEYS", "t1:{*}:subjects").array ?? []
                #expect(
                    Set(names.compactMap(\.text)) == [
                        "t1:{acme@lost}:subjects", "t1:{default}:subjects", present + "subjects",
                    ])
                client.close()
                second.close()
            }
        }
    }

    @Test func `A key of a workspace that was just made opens it in every process`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (store, client) = try await Self.store(redis, on: host.loop)
                let (other, second) = try await Self.store(redis, on: host.loop)
                let id = try #require(WorkspaceID("acme"))
                #expect(try await store.addWorkspace(WorkspaceSettings(id: id)))
                let made = try await store.makeKey(
                    name: "new", role: .admin, in: #require(store.directory.settings(of: id)),
                    subject: nil, expiresAt: nil)
                let found = try await other.principal(ofSecret: Array(made.secret.utf8))
                #expect(found?.workspace == id)
                client.close()
                second.close()
            }
        }
    }

    /// Its caller's key is known still, and the next workspace becomes known while it is under way.
    @Test func `An act that a deletion overtakes reaches nothing of the next workspace`()
        async throws
    {
        try await withAPI { host, api, redis in
            let (other, client) = try await Self.store(redis, on: host.loop)
            let id = try #require(WorkspaceID("acme"))
            #expect(await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#).status == 201)
            let old = try await Self.admin(api)
            #expect(await api.send(.authorized(.get, "/v1/prices", headers: old)).status == 200)
            try await other.refresh()
            #expect(try await other.removeWorkspace(id))
            try await other.removeData(of: try #require(other.directory.doomed.first))
            #expect(try await other.addWorkspace(WorkspaceSettings(id: id)))

            let acts = [
                (HTTPMethod.put, "/v1/prices", #"{"models":{"zebra":{"input":"1"}}}"#),
                (.put, "/v1/subjects/zebra", #"{"email":"zebra@example.com"}"#),
                (.post, "/v1/credits/zebra/grants", #"{"id":"zebra","credits":"3"}"#),
                (.post, "/v1/keys", #"{"role":"reader","name":"zebra"}"#),
                (.post, "/v1/events", #"{"subject":"zebra","meters":{"tokens":1}}"#),
            ]
            var tasks: [Task<Answer, Never>] = []
            for round in 0..<20 {
                for (method, path, body) in acts {
                    let request = HTTPRequest.authorized(
                        method, path, headers: old, body: Array(body.utf8))
                    tasks.append(
                        Task {
                            _ = host
                            return await api.send(request)
                        })
                }
                // Each round is further on when the new workspace becomes known.
                for _ in 0..<round { await Task.yield() }
            }
            #expect(await api.get("/v1/workspaces").status == 200)
            for task in tasks { _ = await task.value }

            let new = try await Self.admin(api)
            for path in ["/v1/audit", "/v1/keys", "/v1/prices", "/v1/subjects", "/v1/events"] {
                let answer = await api.send(.authorized(.get, path, headers: new))
                #expect(
                    answer.status == 200 && !answer.text.contains("zebra"), "\(answer.text)")
            }
            client.close()
        }
    }

    /// How far a deletion is, of which the process has not heard.
    enum Stage: CaseIterable { case marked, removed, madeAnew }

    /// It stood still meanwhile, or cannot hear of it, and answers by what it knows.
    ///
    /// - Parameters:
    ///   - hasCounted: whether it has read the rules of the workspace before.
    ///   - hasRules: whether there were any; those let everybody overdraw.
    @Test(arguments: Stage.allCases, [(false, false), (true, false), (true, true)])
    func `Nothing is acknowledged for a workspace that is gone`(
        stage: Stage, before: (hasCounted: Bool, hasRules: Bool)
    ) async throws {
        try await withAPI { host, api, redis in
            let (other, client) = try await Self.store(redis, on: host.loop)
            let id = try #require(WorkspaceID("acme"))
            #expect(await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#).status == 201)
            let old = try await Self.admin(api)
            func send(
                _ path: String, _ body: String, _ headers: [String: String],
                _ method: HTTPMethod = .post
            ) async -> Answer {
                await api.send(
                    .authorized(method, path, headers: headers, body: Array(body.utf8)))
            }
            #expect(await api.send(.authorized(.get, "/v1/workspace", headers: old)).status == 200)
            let event = #"{"id":"e","subject":"zebra","meters":{"tokens":1}}"#
            if before.hasRules {
                let policy = #"{"overdraft":"100"}"#
                #expect(await send("/v1/credit-policy", policy, old, .put).status == 200)
            }
            if before.hasCounted { #expect(await send("/v1/events", event, old).status == 200) }
            try await other.refresh()
            let first = try Self.prefix(other, id)
            #expect(try await other.removeWorkspace(id))
            if stage != .marked {
                try await other.removeData(of: try #require(other.directory.doomed.first))
            }
            if stage == .madeAnew {
                #expect(try await other.addWorkspace(WorkspaceSettings(id: id)))
            }

            for (path, body) in [
                ("/v1/credits/zebra/grants", #"{"id":"g","credits":"3"}"#),
                ("/v1/events", event), ("/v1/events", "[\(event)]"),
                ("/v1/events", #"{"subject":"zebra","meters":{"tokens":1}}"#),
                ("/v1/check", #"{"subject":"zebra","amounts":{"tokens":1},"consume":true}"#),
                ("/v1/check", #"{"subject":"zebra","credits":"1","consume":true}"#),
                ("/v1/holds", #"{"id":"h","subject":"zebra","credits":"1"}"#),
            ] {
                let answer = await send(path, body, old)
                #expect(answer.status == 503, "\(path) \(body): \(answer.text)")
            }
            if stage != .marked {
                for name in ["subjects", "accounts", "grants", "holds"] {
                    #expect(try await Self.ask(client, "EXISTS", first + name).integer == 0)
                }
            }

            // Now it hears of it, and what is sent again is counted where it is to be.
            #expect(await api.get("/v1/workspaces").status == 200)
            #expect(await send("/v1/events", event, old).status == 401)
            if stage == .madeAnew {
                let answer = await send("/v1/events", event, try await Self.admin(api))
                #expect(answer.status == 200 && answer.totals == ["tokens": 1], "\(answer.text)")
            }
            client.close()
        }
    }

    /// The deletion was cut short: the workspace is marked, and its keys are there.
    @Test func `Keys that a deletion has left open nothing`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (store, client) = try await Self.store(redis, on: host.loop)
                let id = try #require(WorkspaceID("acme"))
                #expect(try await store.addWorkspace(WorkspaceSettings(id: id)))
                let old = try await store.makeKey(
                    name: "old", role: .admin, in: #require(store.directory.settings(of: id)),
                    subject: nil, expiresAt: nil)
                let others = try await store.makeKey(
                    name: "others", role: .admin, in: WorkspaceSettings(), subject: nil,
                    expiresAt: nil)
                let record = try #require(
                    await Self.ask(client, "HGET", "t1:{@}:keys", old.key.id).text)
                #expect(try await store.removeWorkspace(id))
                // As it was before its revocation; and one that is in no list, as if made meanwhile.
                try await Self.ask(client, "HSET", "t1:{@}:keys", old.key.id, record)
                let doomed = try #require(store.directory.doomed.first)
                #expect(try await store.principal(ofSecret: Array(old.secret.utf8)) == nil)
                try await store.removeData(of: doomed)
                #expect(try await Self.ask(client, "HGET", "t1:{@}:keys", old.key.id) == .null)

                #expect(try await store.addWorkspace(WorkspaceSettings(id: id)))
                // Whoever was held up longer than that.
                try await Self.ask(client, "HSET", "t1:{@}:keys", old.key.id, record)
                #expect(try await store.principal(ofSecret: Array(old.secret.utf8)) == nil)
                let new = try await store.makeKey(
                    name: "new", role: .admin, in: #require(store.directory.settings(of: id)),
                    subject: nil, expiresAt: nil)
                for made in [new, others] {
                    #expect(
                        try await store.principal(ofSecret: Array(made.secret.utf8))?.workspace
                            == made.key.workspace)
                }
                client.close()
            }
        }
    }
}
