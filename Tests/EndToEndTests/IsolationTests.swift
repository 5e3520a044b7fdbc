// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Every route, as `/openapi.json` has it, asked in every role, about what is the caller's own and
/// what is in another workspace.
extension EndToEnd {
    /// A service with a workspace `own`, and one that has something of everything.
    private struct Tenants {
        /// In the other workspace all ids, and itself, are called this.
        static let foreign = "zebra-1"
        /// Like it, and nowhere.
        static let missing = "giraffe"
        /// In what the other workspace has: nobody else ever gets to see it.
        static let marks = ["okapi", "777777", "zebra"]

        let service: TallyProcess
        /// By role, of the own workspace.
        var keys: [String: String] = [:]
        var foreignKey = ""

        init() throws {
            service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            for name in ["own", Self.foreign] {
                try make("POST", "/v1/workspaces", #"{"id":"\#(name)","guests":true}"#, nil)
            }
            for role in ["admin", "writer", "reader", "self"] {
                let subject = role == "self" ? #","subject":"ann""# : ""
                keys[role] =
                    try make(
                        "POST", "/v1/keys",
                        #"{"role":"\#(role)","workspace":"own"\#(subject)}"#, nil)["secret"]
                    as? String
            }
            keys["operator"] = TallyProcess.key
            try fill()
        }

        @discardableResult private func make(
            _ method: String, _ path: String, _ body: String, _ key: String?
        ) throws -> [String: Any] {
            try BlockingHTTPClient(port: service.port, key: key ?? TallyProcess.key)
                .requestUntilReady(method, path, body).json
        }

        /// Puts something of everything into the other workspace.
        private mutating func fill() throws {
            let id = Self.foreign
            let secret = try make(
                "POST", "/v1/keys", #"{"role":"admin","workspace":"\#(id)"}"#, nil)
            let key = secret["secret"] as? String
            foreignKey =
                try make(
                    "POST", "/v1/keys", #"{"role":"reader","name":"okapi"}"#, key)["id"] as? String
                ?? ""
            for (method, path, body) in [
                (
                    "PUT", "/v1/subjects/\(id)",
                    #"{"username":"okapi","email":"\#(id)@example.com","phone":"+777777"}"#
                ),
                ("PUT", "/v1/prices", #"{"models":{"okapi":{"input":"777777"}}}"#),
                (
                    "PUT", "/v1/limits",
                    #"{"limits":[{"name":"\#(id)","meter":"okapi","window":"day","user":777777}]}"#
                ),
                ("PUT", "/v1/credit-policy", #"{"default_allowance":"777777"}"#),
                (
                    "POST", "/v1/events",
                    #"{"id":"\#(id)","subject":"\#(id)","action":"okapi","model":"okapi","#
                        + #""description":"okapi","meters":{"tokens":777777,"okapi":777777}}"#
                ),
                ("POST", "/v1/credits/\(id)/grants", #"{"id":"okapi","credits":"777777"}"#),
                ("POST", "/v1/holds", #"{"id":"\#(id)","subject":"\#(id)","credits":"77.7777"}"#),
                (
                    "POST", "/api/\(id)/keys/import",
                    #"[{"name":"okapi","secret":"sk-777777","credit_balance":777777}]"#
                ),
                ("POST", "/api/\(id)/bulk-assign", #"{"user_id":"\#(id)","quantity":1}"#),
                ("PUT", "/api/\(id)/settings", #"{"threshold":777777}"#),
            ] { try make(method, path, body, key) }
        }

        func client(_ role: String) -> BlockingHTTPClient {
            BlockingHTTPClient(port: service.port, key: keys[role])
        }

        /// How a role says who it is, beside its key.
        ///
        /// - Parameter workspace: what those name who cannot choose one.
        func headers(_ role: String, naming workspace: String? = nil) -> [String: String] {
            switch role {
            case "guest": ["X-Guest-ID": "visitor", "X-Tally-Workspace": "own"]
            case "operator": ["X-Tally-Workspace": "own"]
            default: workspace.map { ["X-Tally-Workspace": $0] } ?? [:]
            }
        }
    }

    @Test func `Every route lets in whom it is for, and nobody else`() async throws {
        try await blocking {
            let tenants = try Tenants()
            let operations = try DescribedOperation.all(tenants.client("none"))
            #expect(operations.count > 70)
            for role in ["none", "guest", "self", "reader", "writer", "admin", "operator"] {
                let (client, headers) = (tenants.client(role), tenants.headers(role))
                for operation in operations {
                    let isLetIn = operation.access.isEmpty || operation.access.contains(role)
                    guard !operation.isEndless || !isLetIn else { continue }
                    let answer = try operation.send(client, .own, headers)
                    let place = "\(role): \(operation.name)"
                    if !isLetIn {
                        let status = ["none", "guest"].contains(role) ? 401 : 403
                        #expect(answer.status == status, "\(place) \(answer.text)")
                    } else if operation.isOwn, !["self", "guest"].contains(role) {
                        #expect(answer.status == 403, "\(place) \(answer.text)")
                    } else if operation.namesSubject, role == "guest" {
                        // Who is asked about is somebody else.
                        #expect(answer.status == 403, "\(place) \(answer.text)")
                    } else {
                        #expect(![401, 403].contains(answer.status), "\(place) \(answer.text)")
                        #expect(answer.status < 500, "\(place) \(answer.text)")
                    }
                    guard operation.namesSubject, ["self", "guest"].contains(role) else { continue }
                    let names = DescribedOperation.Names(
                        id: role == "guest" ? "guest:visitor" : "bob", key: "")
                    let other = try operation.send(client, names, headers)
                    let isRefused = role == "self" || !isLetIn
                    #expect(
                        [401, 403].contains(other.status) == isRefused, "\(place) \(other.text)")
                }
            }
            tenants.service.terminate()
        }
    }

    @Test func `What is in another workspace is as if it were nowhere, on every route`()
        async throws
    {
        try await blocking {
            let tenants = try Tenants()
            let operations = try DescribedOperation.all(tenants.client("none"))
            let there = DescribedOperation.Names(id: Tenants.foreign, key: tenants.foreignKey)
            let nowhere = DescribedOperation.Names(
                id: Tenants.missing, key: String(repeating: "0", count: there.key.utf8.count))
            // What is read comes first: what is made afterwards has the names that are asked for.
            let (reading, changing) = (
                operations.filter { $0.method == "GET" }, operations.filter { $0.method != "GET" }
            )
            for (operation, role) in Self.pairs(changing) + Self.pairs(reading) {
                let client = tenants.client(role)
                // A key of one workspace does not act when another is named, be there one or not.
                if !["none", "guest", "operator"].contains(role), !operation.access.isEmpty,
                    !operation.path.contains("/gateway/")
                {
                    for workspace in [Tenants.foreign, Tenants.missing] {
                        let refused = try operation.send(
                            client, .own, tenants.headers(role, naming: workspace))
                        #expect(refused.status == 404, "\(role): \(operation.name)")
                        #expect(refused.text.contains("X-Tally-Workspace"), "\(refused.text)")
                    }
                }
                let answer = try operation.send(
                    client, .own, tenants.headers(role, naming: "own"))
                for mark in Tenants.marks {
                    #expect(!answer.text.contains(mark), "\(role): \(operation.name) \(mark)")
                }
            }
            for (operation, role) in Self.pairs(reading) + Self.pairs(changing)
            where operation.namesSomething {
                let (client, place) = (tenants.client(role), "\(role): \(operation.name)")
                let headers = tenants.headers(role)
                let foreign = try operation.send(client, there, headers)
                let missing = try operation.send(client, nowhere, headers)
                #expect(foreign.status == missing.status, "\(place) \(foreign.text)")
                for mark in Tenants.marks.dropLast() {
                    #expect(!foreign.text.contains(mark), "\(place) tells \(mark)")
                }
                // What was made is told with its own time and number.
                guard operation.method == "GET" || foreign.status >= 400 else { continue }
                #expect(
                    Self.anonymous(foreign, there) == Self.anonymous(missing, nowhere), "\(place)")
            }
            // All of it is still there, and as it was.
            let operation = try #require(operations.first { $0.name == "getSubject" })
            let whole = try operation.send(
                tenants.client("operator"), there, ["X-Tally-Workspace": Tenants.foreign])
            #expect(whole.text.contains("okapi") && whole.text.contains("777777"))
            tenants.service.terminate()
        }
    }

    @Test func `A workspace that cannot be read, or its rules, is told to who runs the service`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let client = service.client()
            try client.requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
            try service.redis("HSET t1:{@}:workspaces acme nothing")
            func isTold() throws -> Bool {
                let ready = try client.get("/readyz")
                #expect(ready.status == 200 && !ready.text.contains("acme"), "\(ready.text)")
                return ready.text.contains("1 workspaces are not served")
            }
            for _ in 0..<2 {
                try service.redis("INCR t1:{@}:version")
                try waitUntil("it is told") { (try? isTold()) == true }
                // A change of another one says it no second time.
                try client.requestUntilReady("PATCH", "/v1/workspaces/default", "{}")
            }
            #expect(service.log.components(separatedBy: "a workspace is not served").count == 2)
            try service.redis("HDEL t1:{@}:workspaces acme")
            try service.redis("INCR t1:{@}:version")
            try waitUntil("it is gone") { (try? isTold()) == false }
            // Nor is anything counted by rules that cannot be read.
            try service.redis("HSET t1:{default}:rules prices nothing")
            try waitUntil("it is told") { (try? isTold()) == true }
            #expect(try client.get("/v1/prices").status == 503)
            #expect(service.log.contains("\"reason\":\"prices of the rules\""))
            try service.redis("HDEL t1:{default}:rules prices")
            try waitUntil("they can be read") { (try? isTold()) == false }
            try client.requestUntilReady("GET", "/v1/prices")
        }
    }

    /// Operations with each role that is held to one workspace.
    private static func pairs(
        _ operations: [DescribedOperation]
    ) -> [(DescribedOperation, role: String)] {
        // The description has examples of everything.
        operations.filter { $0.name != "getDescription" && !$0.isEndless }.flatMap { operation in
            ["none", "guest", "self", "reader", "writer", "admin"].map { (operation, $0) }
        }
    }

    /// A body without what was asked for, and without times.
    private static func anonymous(
        _ answer: BlockingHTTPClient.Answer, _ names: DescribedOperation.Names
    ) -> String {
        var text = answer.text.replacing(names.id, with: "ID").replacing(names.key, with: "KEY")
        text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/, with: "TIME")
        return text
    }
}
