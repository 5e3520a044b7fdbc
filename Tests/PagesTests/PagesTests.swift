// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import TestSupport
import Testing

@testable import Pages

@Suite struct PagesTests {
    private let pages = Pages(charts: Array("var Chart".utf8))

    private func get(_ path: String, _ headers: HTTPHeaders = [:]) -> HTTPResponse? {
        pages.response(to: HTTPRequest(method: .get, path: path, headers: headers))
    }

    private func bytes(_ response: HTTPResponse?) -> [UInt8]? {
        if case .bytes(let bytes) = response?.body { bytes } else { nil }
    }

    private func value(_ name: String, of response: HTTPResponse?) -> String? {
        response?.headers.first { $0.name == name }?.value
    }

    @Test func `Each page is the document, which loads nothing from elsewhere`() throws {
        for path in Pages.paths {
            let response = try #require(get(path))
            #expect(response.status == .ok)
            let html = String(decoding: try #require(bytes(response)), as: UTF8.self)
            #expect(!html.contains("{{") && !html.contains("//"))
            let policy = try #require(value("Content-Security-Policy", of: response))
            #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe"))
            #expect(value("Cache-Control", of: response) == "no-cache")
        }
        #expect(get("/v1/events") == nil)
        #expect(get("/dashboard/nothing") == nil)
    }

    @Test func `All files that the document names are there, kept for ever and compressed`() throws
    {
        let html = String(decoding: try #require(bytes(get("/"))), as: UTF8.self)
        let paths = html.matches(of: /"(\/assets\/[^"]+)"/).map { String($0.1) }
        #expect(paths.count >= 3)
        for path in paths {
            let response = try #require(get(path, ["Accept-Encoding": "br, gzip;q=0.5"]))
            #expect(response.status == .ok, "\(path)")
            #expect(value("Cache-Control", of: response)?.contains("immutable") == true)
            #expect(value("Vary", of: response) == "Accept-Encoding")
        }
        let other = get("/assets/000000000000/app.js")
        #expect(other?.status == .notFound)
    }

    @Test func `Requests for pages are counted by their status`() async throws {
        let service = try TallyProcess()
        try await blocking {
            try service.start()
            let client = service.client()
            #expect(try client.get("/").status == 200)
            #expect(try client.request("HEAD", "/", nil, "").status == 200)
            #expect(try client.get("/assets/000000000000/app.js").status == 404)
            let metrics = try client.get("/metrics").text
            for (status, count) in [(200, 2), (404, 1)] {
                let line =
                    "tally_http_requests_total{route=\"pages\",status=\"\(status)\"} \(count)\n"
                #expect(metrics.contains(line))
            }
        }
        #expect(service.terminate() == 0)
    }

    @Test func `What the first script imports, and what that imports, is loaded at once`() throws {
        let html = String(decoding: try #require(bytes(get("/"))), as: UTF8.self)
        let preloaded = html.matches(of: /"modulepreload" href="\/assets\/[^"\/]+\/([^"]+)"/)
        let shell = try imports(of: "app.js")
        #expect(shell == Set(preloaded.map { String($0.1) }))
        // Neither does a page wait for what it has to itself.
        let lists = try text("app.js").matches(of: /load: modules\(([^)]*)\)/)
        #expect(lists.count == 9)
        for list in lists {
            let names = list.1.matches(of: /"([^"]+)"/).map { "\($0.1).js" }
            let page = try #require(names.first)
            #expect(try imports(of: page).union([page]).subtracting(shell) == Set(names), "\(page)")
        }
    }

    @Test func `Whatever the service refuses by a code is told in Vietnamese`() throws {
        let description = String(
            decoding: try Data(
                contentsOf: URL(
                    filePath: "\(TallyProcess.package)/docs/openapi/openapi.json")),
            as: UTF8.self)
        let lists = description.matches(of: /"code":\{"(?:enum|const)":([^\]}]*)/)
        let codes = Set(lists.flatMap { $0.1.matches(of: /"([a-z0-9_]+)"/).map { String($0.1) } })
        #expect(codes.count > 100)
        let told = try text("vi-problems.js").matches(of: /\n    "([a-z0-9_]+)": "[^"]/)
        #expect(codes.subtracting(told.map { String($0.1) }).isEmpty)
        #expect(Set(told.map { String($0.1) }).count == told.count)
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try #require(Pages.files[name]), as: UTF8.self)
    }

    /// What a module imports, and what that imports.
    private func imports(of name: String) throws -> Set<String> {
        var found: Set<String> = []
        var waiting = [name]
        while let name = waiting.popLast() {
            for match in try text(name).matches(of: /from "\.\/([^"]+)"/)
            where found.insert(String(match.1)).inserted { waiting.append(String(match.1)) }
        }
        return found
    }

    @Test func `What is compressed is the same, and only for who takes it`() throws {
        let asset = Asset("a.js", Array(String(repeating: "tally ", count: 500).utf8))
        let compressed = try #require(asset.compressed)
        #expect(compressed.count < asset.bytes.count / 10 && compressed.starts(with: [0x1f, 0x8b]))
        for (header, isTaken) in [
            ("gzip", true), ("GZIP;q=1", true), ("*", true), ("gzip;q=0", false),
            ("gzip; q=0.000", false), ("br", false), ("", false), ("gzip;q=0.1", true),
        ] {
            let request = HTTPRequest(
                method: .get, path: "/", headers: ["Accept-Encoding": header])
            let response = asset.response(to: request, [])
            #expect(
                bytes(response) == (isTaken ? compressed : asset.bytes), "\(header)")
        }
    }

    @Test func `A page that has not changed is not sent again`() throws {
        let etag = try #require(value("ETag", of: get("/")))
        let again = get("/", ["If-None-Match": etag])
        #expect(again?.status == .notModified)
        for known in ["W/\(etag)", "*", "\"other\", \(etag)", "\"other\" ,\tW/\(etag)"] {
            #expect(get("/", ["If-None-Match": known])?.status == .notModified, "\(known)")
        }
        for other in ["\"other\"", "W/\"other\"", String(etag.dropLast())] {
            #expect(get("/", ["If-None-Match": other])?.status == .ok, "\(other)")
        }
        // One whose markup is another, over the same files.
        let other = Pages(
            html: Pages.html + Array("<!-- -->".utf8), charts: Array("var Chart".utf8))
        let request = HTTPRequest(method: .get, path: "/", headers: ["If-None-Match": etag])
        #expect(other.response(to: request)?.status == .ok)
    }

    @Test func `Who types a slash behind a path, or no page, is brought to one`() {
        for (path, page) in [
            ("/dashboard", "/"), ("/dashboard/", "/"), ("/dashboard/users/", "/dashboard/users"),
            ("/usage/", "/usage"),
        ] {
            let answer = get(path)
            #expect(answer?.status == .seeOther, "\(path)")
            #expect(value("Location", of: answer) == page)
        }
        let filtered = pages.response(
            to: HTTPRequest(method: .get, path: "/dashboard/users/", query: "q=ann"))
        #expect(value("Location", of: filtered) == "/dashboard/users?q=ann")
        for path in ["/dashboard//", "/dashboard/nothing/", "/usage/me/"] {
            #expect(get(path) == nil, "\(path)")
        }
        // What is sent there is not for the pages.
        #expect(pages.response(to: HTTPRequest(method: .post, path: "/usage/")) == nil)
    }

    @Test func `Only GET and HEAD are answered`() {
        let answer = pages.response(to: HTTPRequest(method: .post, path: "/dashboard/users"))
        #expect(answer?.status == .methodNotAllowed)
        #expect(value("Allow", of: answer) == "GET, HEAD")
    }
}
