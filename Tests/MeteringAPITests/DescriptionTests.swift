// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@testable import MeteringAPI

/// `/openapi.json` and the routes that there are.
@Suite struct DescriptionTests {
    /// What a route is known by: equal ones would be the same route.
    struct Entry: Hashable, CustomStringConvertible {
        let method: String
        let path: String
        let access: [String]

        var description: String { "\(method) \(path) for \(access)" }
    }

    @Test func `No route without an entry, no entry without a route`() throws {
        // The methods of others' requests have no name: gateways ask with them as with GET.
        let routes = Router.routes.filter { $0.method != .other }.map {
            Entry(method: $0.method.name, path: $0.name, access: $0.access.names)
        }
        let entries = try Description.read().operations.map {
            Entry(method: $0.method.name, path: $0.path, access: $0.access)
        }
        #expect(Set(routes).subtracting(entries) == [])
        #expect(Set(entries).subtracting(routes) == [])
        #expect(routes.count == entries.count && routes.count > 70)
    }

    @Test func `What is answered only so often at a time is described so`() throws {
        let long = Router.routes.filter(\.isLong).map(\.name)
        let described = try Description.read().operations.filter { operation in
            let refusals = (operation.members["responses"] as? [String: Any])?["503"] ?? [:]
            return "\(refusals)".contains("too_many_questions")
        }.map(\.path)
        #expect(Set(long) == Set(described) && !long.isEmpty)
    }

    @Test func `The most of models in a price book is described as it is judged`() throws {
        let models = try Description.read().schema("PriceBook", "models")
        #expect(models["maxProperties"] as? Int == PriceBook.modelCountMax)
    }

    @Test func `The names of operations are unique`() throws {
        let names = try Description.read().operations.map(\.name)
        #expect(Set(names).count == names.count)
    }

    @Test func `The description is served to anyone, with a tag by which it is not sent again`()
        async throws
    {
        try await withAPI { _, api, _ in
            func get(_ headers: [String: String] = [:], query: String? = nil) async -> Answer {
                let fields = ["Authorization": absent].merging(headers) { $1 }
                return await api.send(
                    .authorized(.get, "/openapi.json", query: query, headers: fields))
            }
            let answer = await get()
            #expect(answer.status == 200)
            #expect(answer.headers["content-type"] == "application/json")
            #expect(answer.json["openapi"] as? String == "3.1.0")
            let tag = try #require(answer.headers["etag"])
            for value in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
                let same = await get(["If-None-Match": value])
                #expect(same.status == 304 && same.body.isEmpty, "\(value)")
                #expect(same.headers["etag"] == tag)
            }
            #expect(await get(["If-None-Match": "\"other\""]).status == 200)
            #expect(await get(query: "version=1").status == 400)
        }
    }
}

/// The embedded description, taken apart.
struct Description {
    struct Operation {
        let name: String
        let method: HTTPMethod
        let path: String
        let access: [String]
        let members: [String: Any]
    }

    let operations: [Operation]
    private let document: [String: Any]

    static func read() throws -> Description {
        let value = try JSONSerialization.jsonObject(with: Data(API.openAPI))
        return try Description(try #require(value as? [String: Any]))
    }

    /// What is said of a member of a type.
    func schema(_ type: String, _ member: String) throws -> [String: Any] {
        let components = try #require(document["components"] as? [String: [String: [String: Any]]])
        let members = components["schemas"]?[type]?["properties"] as? [String: [String: Any]]
        return try #require(members?[member])
    }

    private init(_ document: [String: Any]) throws {
        self.document = document
        var operations: [Operation] = []
        let paths = try #require(document["paths"] as? [String: [String: [String: Any]]])
        for (path, item) in paths {
            for (name, members) in item {
                let method = try #require(
                    HTTPMethod.known.first { $0.name == name.uppercased() }, "\(name)")
                operations.append(
                    Operation(
                        name: try #require(members["operationId"] as? String), method: method,
                        path: path, access: try #require(members["x-access"] as? [String]),
                        members: members))
            }
        }
        self.operations = operations.sorted { $0.name < $1.name }
    }
}
