// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// An operation of `/openapi.json`, and how to make a request of it.
struct DescribedOperation {
    struct Parameter {
        let name: String
        let example: String
        let isInteger: Bool
    }

    /// Names that stand for what an operation is about. The texts of examples are the caller's own.
    struct Names {
        let id: String
        /// The id of a key.
        let key: String

        static let own = Names(id: "ann", key: "3f9a51c07d2277e0b6")
    }

    let name: String
    let method: String
    let path: String
    let access: Set<String>
    /// Whether it is about what the caller has as an end user.
    let isOwn: Bool
    private let pathParameters: [Parameter]
    private let queryParameters: [(name: String, example: String?)]
    private let body: (type: String, text: String)?

    /// Parameters of paths that name who the caller may be.
    private static let subjects: Set<String> = ["id", "subject", "user_id"]
    /// Parameters of queries that name somebody or something.
    private static let naming: Set<String> = ["subject", "user_id", "workspace", "email"]
    /// What examples name.
    private static let examples = [
        "ann", "bob", "message-1", "message-2", "hold-1", "bonus-1", "acme",
    ]

    /// What the service tells of itself.
    static func all(_ client: BlockingHTTPClient) throws -> [DescribedOperation] {
        let document = try client.get("/openapi.json").json
        guard let paths = document["paths"] as? [String: [String: [String: Any]]] else {
            throw Failure(description: "no paths")
        }
        return try paths.flatMap { path, item in
            try item.map { method, members in
                try DescribedOperation(path, method.uppercased(), members)
            }
        }.sorted { $0.name < $1.name }
    }

    private init(_ path: String, _ method: String, _ members: [String: Any]) throws {
        self.path = path
        self.method = method
        guard let name = members["operationId"] as? String,
            let access = members["x-access"] as? [String]
        else { throw Failure(description: "\(method) \(path) has no name, or no access") }
        self.name = name
        self.access = Set(access)
        isOwn = members["x-own"] as? Bool ?? false
        let parameters = members["parameters"] as? [[String: Any]] ?? []
        func text(_ value: Any?) -> String? { value.map { "\($0)" } }
        pathParameters = parameters.filter { $0["in"] as? String == "path" }.map {
            Parameter(
                name: $0["name"] as? String ?? "", example: text($0["example"]) ?? "",
                isInteger: ($0["schema"] as? [String: Any])?["type"] as? String == "integer")
        }
        queryParameters = parameters.filter { $0["in"] as? String == "query" }.map {
            (
                $0["name"] as? String ?? "",
                $0["required"] as? Bool == true ? text($0["example"]) : nil
            )
        }
        let content = (members["requestBody"] as? [String: Any])?["content"] as? [String: Any]
        body = try Self.example(in: content ?? [:])
    }

    /// The first body that there is an example of.
    private static func example(in content: [String: Any]) throws -> (String, String)? {
        for (type, part) in content.sorted(by: { $0.key < $1.key }) {
            guard let example = (part as? [String: Any])?["example"] else { continue }
            if let text = example as? String { return (type, text) }
            let data = try JSONSerialization.data(
                withJSONObject: example, options: [.sortedKeys, .withoutEscapingSlashes])
            return (type, String(decoding: data, as: UTF8.self))
        }
        return nil
    }

    /// Whether it is about a subject that its path names.
    var namesSubject: Bool {
        access.contains("self") && pathParameters.contains { Self.subjects.contains($0.name) }
    }
    /// Whether anything is named in it.
    var namesSomething: Bool { !pathParameters.isEmpty || body != nil || !naming.isEmpty }
    private var naming: [String] { queryParameters.map(\.name).filter(Self.naming.contains) }

    /// Sends it.
    ///
    /// - Parameter headers: who asks.
    func send(
        _ client: BlockingHTTPClient, _ names: Names, _ headers: [String: String] = [:]
    ) throws -> BlockingHTTPClient.Answer {
        var target = path
        for parameter in pathParameters {
            target = target.replacing(
                "{\(parameter.name)}", with: Self.encoded(value(of: parameter, names)))
        }
        var query = queryParameters.compactMap { name, example in
            example.map { "\(name)=\(Self.encoded($0))" }
        }
        if names.id != Names.own.id {
            query += naming.map { "\($0)=\(Self.encoded(names.id))" }
        }
        if !query.isEmpty { target += "?" + query.joined(separator: "&") }
        var text = body?.text ?? ""
        for example in Self.examples where names.id != Names.own.id {
            text = text.replacing("\"\(example)", with: "\"\(names.id)")
        }
        let isSent = body != nil || ["POST", "PUT", "PATCH"].contains(method)
        // Connections of new workspaces are made while others ask.
        for _ in 0..<200 {
            let answer = try client.request(
                method, target, isSent ? Array(text.utf8) : nil, body?.type ?? "application/json",
                headers)
            if answer.status != 503 { return answer }
            usleep(20_000)
        }
        throw Failure(description: "\(name): 503")
    }

    private func value(of parameter: Parameter, _ names: Names) -> String {
        if names.id == Names.own.id || parameter.isInteger || parameter.name == "meter" {
            return parameter.example
        }
        switch parameter.name {
        case "key": return names.key
        case "email": return "\(names.id)@example.com"
        default: return names.id
        }
    }

    private static func encoded(_ text: String) -> String {
        text.addingPercentEncoding(
            withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: "-._~"))) ?? text
    }
}
