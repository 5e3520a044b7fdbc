// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

/// A registry as one would write it down: a dictionary.
private struct PlainRegistry {
    struct Person: Equatable {
        var texts: [String: String] = [:]
        var flags: [String: Bool] = [:]
        var created = 0
    }
    var people: [String: Person] = [:]

    static func phoneKey(_ text: String) -> String {
        (text.hasPrefix("+") ? "+" : "") + text.filter { "0123456789".contains($0) }
    }

    /// What becomes of a change of some fields; nil clears one.
    mutating func apply(
        _ id: String, _ fields: [String: String?], flags: [String: Bool], now: Int, isNew: Bool,
        mayCreate: Bool
    ) -> String {
        let old = people[id]
        guard old != nil || mayCreate else { return "not_found" }
        var person = old ?? Person(created: now)
        if isNew { person = Person(created: person.created) }
        for (name, value) in fields { person.texts[name] = value }
        for (name, value) in flags { person.flags[name] = value }
        if person.flags["active"] == true { person.flags["active"] = nil }
        if person.flags["demo"] == false { person.flags["demo"] = nil }
        if person.texts["role"] == "user" { person.texts["role"] = nil }
        if person == old { return "unchanged" }
        for (other, its) in people where other != id {
            if let email = person.texts["email"],
                its.texts["email"]?.lowercased() == email.lowercased()
            {
                return "email_taken"
            }
        }
        for (other, its) in people where other != id {
            if let phone = person.texts["phone"],
                its.texts["phone"].map(Self.phoneKey) == Self.phoneKey(phone)
            {
                return "phone_taken"
            }
        }
        people[id] = person
        return old == nil ? "created" : "updated"
    }

    func isRegistered(_ id: String) -> Bool {
        guard let person = people[id] else { return false }
        return person.flags["active"] != false && person.texts["kind"] != "guest"
            && !id.hasPrefix("guest:")
    }

    func ids(by key: (String, Person) -> String, _ isWanted: (String, Person) -> Bool) -> [String] {
        people.filter { isWanted($0.key, $0.value) }
            .map { (Array(key($0.key, $0.value).utf8) + [0] + Array($0.key.utf8), $0.key) }
            .sorted { $0.0.lexicographicallyPrecedes($1.0) }.map(\.1)
    }
}

@Suite(.timeLimit(.minutes(15))) struct ProfileModelTests {
    private static let emails = [
        "Ann@example.com", "ann@EXAMPLE.com", "b+tag@example.com", "ÄRA@example.com",
        "ära@example.com", "c@example.com",
    ]
    private static let phones = ["+84 90 1", "+84901", "(090) 1", "0901", "84901"]

    private static func fields(
        _ random: inout SeededGenerator
    ) -> (texts: [String: String?], flags: [String: Bool], json: String) {
        var texts: [String: String?] = [:]
        var flags: [String: Bool] = [:]
        func some(_ values: [String]) -> String? {
            Int.random(in: 0..<5, using: &random) == 0 ? nil : values.randomElement(using: &random)
        }
        if Bool.random(using: &random) { texts["email"] = .some(some(emails)) }
        if Bool.random(using: &random) { texts["phone"] = .some(some(phones)) }
        if Bool.random(using: &random) {
            texts["username"] = .some(some(["Zoe", "zoe", "Bob", "Ému"]))
        }
        if Bool.random(using: &random) { texts["role"] = .some(some(["admin", "user"])) }
        if Int.random(in: 0..<4, using: &random) == 0 {
            flags["active"] = Bool.random(using: &random)
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            flags["demo"] = Bool.random(using: &random)
        }
        let members =
            texts.map { "\"\($0.key)\":\($0.value.map { "\"\($0)\"" } ?? "null")" }
            + flags.map { "\"\($0.key)\":\($0.value)" }
        return (texts, flags, "{\(members.sorted().joined(separator: ","))}")
    }

    @Test(arguments: [1, 2, 3])
    func `Random changes leave what a plain registry has`(seed: Int) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(UInt64(seed))
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                var model = PlainRegistry()
                let ids = (0..<12).map { "u\($0)" } + ["guest:1", "Ä"]
                for step in 0..<400 {
                    clock.advance(1)
                    let now = noon + step + 1
                    let id = ids.randomElement(using: &random) ?? "u0"
                    let (texts, flags, json) = Self.fields(&random)
                    switch Int.random(in: 0..<8, using: &random) {
                    case 0:
                        let isRemoved = try await bench.queries.removeProfile(of: subjectID(id))
                        #expect(isRemoved == (model.people.removeValue(forKey: id) != nil))
                    case 1, 2:
                        let result = try await bench.queries.putProfile(
                            of: subjectID(id), change(json))
                        let expected = model.apply(
                            id, texts, flags: flags, now: now, isNew: true, mayCreate: true)
                        #expect(result.word == expected, "put \(id) \(json)")
                    case 3, 4:
                        let result = try await bench.queries.changeProfile(
                            of: subjectID(id), change(json))
                        let expected = model.apply(
                            id, texts, flags: flags, now: now, isNew: false, mayCreate: false)
                        #expect(result.word == expected, "change \(id) \(json)")
                    default:
                        var rows: [ProfileRow] = []
                        var expected: [String] = []
                        for _ in 0..<Int.random(in: 1...12, using: &random) {
                            let id = ids.randomElement(using: &random) ?? "u0"
                            let (texts, flags, json) = Self.fields(&random)
                            rows.append(
                                ProfileRow(subject: subjectID(id), change: try change(json)))
                            expected.append(
                                model.apply(
                                    id, texts, flags: flags, now: now, isNew: false,
                                    mayCreate: true))
                        }
                        let results = try await bench.queries.importProfiles(rows)
                        #expect(results.map(\.word) == expected)
                    }
                    if step % 20 == 19 { try await Self.compare(bench, model) }
                }
                #expect(model.people.count > 5, "there is something to compare")
            }
        }
    }

    @Test func `Of many who take the same e-mail at once one gets it`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let queries = bench.queries
                for round in 0..<10 {
                    let email = #"{"email":"same\#(round)@example.com"}"#
                    let words = try await Self.atOnce { index in
                        let row = ProfileRow(
                            subject: subjectID("s\(index)"), change: try change(email))
                        return try await queries.importProfiles([row])[0].word
                    }
                    #expect(words.filter { $0 == "email_taken" }.count == 15)
                    // Many who change the same profile all come through.
                    let others = try await Self.atOnce { index in
                        let name = #"{"username":"name\#(round)-\#(index)"}"#
                        return try await queries.putProfile(of: subjectID("one"), change(name)).word
                    }
                    #expect(others.allSatisfy { ["created", "updated"].contains($0) })
                    // Of many who are to be new under one id one is.
                    let new = try await Self.atOnce { index in
                        let name = #"{"username":"new\#(round)-\#(index)"}"#
                        return try await queries.putProfile(
                            of: subjectID("new\(round)"), change(name), mayReplace: false
                        ).word
                    }
                    #expect(new.filter { $0 == "precondition_failed" }.count == 15)
                    #expect(new.filter { $0 == "created" }.count == 1)
                }
                var places = RedisCommand("ZCARD")
                places.append("t1:{default}:people:by:username")
                let count = try await bench.client.send(places)
                #expect(count == .integer(try await queries.all().count))
            }
        }
    }

    private static func atOnce(
        _ body: @escaping @Sendable (Int) async throws -> String
    ) async throws -> [String] {
        try await withThrowingTaskGroup(of: String.self) { group in
            for index in 0..<16 { group.addTask { try await body(index) } }
            var words: [String] = []
            for try await word in group { words.append(word) }
            return words
        }
    }

    private static func compare(
        _ bench: Bench, _ model: PlainRegistry
    ) async throws {
        let queries = bench.queries
        func ids(
            _ order: ProfileOrder, _ filter: ProfileFilter = ProfileFilter()
        ) async throws -> [String] {
            let ids = try await queries.all(filter, by: order, limit: 3).map(\.subject.id.text)
            let backwards = try await queries.all(
                filter, by: order, isDescending: true, limit: 3)
            #expect(backwards.map(\.subject.id.text) == ids.reversed())
            return ids
        }
        let all: (String, PlainRegistry.Person) -> Bool = { _, _ in true }
        #expect(try await ids(.id) == model.ids(by: { id, _ in id }, all))
        #expect(
            try await ids(.email)
                == model.ids(by: { _, its in its.texts["email"]?.lowercased() ?? "" }, all))
        #expect(
            try await ids(.username)
                == model.ids(by: { _, its in its.texts["username"]?.lowercased() ?? "" }, all))
        #expect(
            try await ids(.createdAt) == model.ids(by: { _, its in "\(its.created)" }, all))
        var filter = ProfileFilter()
        filter.isActive = true
        filter.role = "user"
        #expect(
            try await ids(.id, filter)
                == model.ids(by: { id, _ in id }) { _, its in
                    its.flags["active"] != false && its.texts["role"] == nil
                })
        filter = ProfileFilter()
        filter.text = "ÄR"
        #expect(
            try await ids(.id, filter)
                == model.ids(by: { id, _ in id }) { _, its in
                    its.texts["email"]?.lowercased().contains("är") ?? false
                })
        for email in emails {
            var filter = ProfileFilter()
            filter.email = email.uppercased()
            #expect(
                try await ids(.id, filter)
                    == model.ids(by: { id, _ in id }) { _, its in
                        its.texts["email"]?.lowercased() == email.lowercased()
                    })
        }
        for phone in phones {
            var filter = ProfileFilter()
            filter.phone = phone
            #expect(
                try await ids(.id, filter)
                    == model.ids(by: { id, _ in id }) { _, its in
                        its.texts["phone"].map(PlainRegistry.phoneKey)
                            == PlainRegistry.phoneKey(phone)
                    })
        }
        let registered = try await bench.members("t1:{default}:people:registered")
        #expect(Set(registered) == Set(model.people.keys.filter { model.isRegistered($0) }))
        let demo = try await bench.members("t1:{default}:people:demo")
        #expect(
            Set(demo) == Set(model.people.filter { $0.value.flags["demo"] == true }.keys))
        // Nothing is left of who has gone or lost it.
        for (key, name) in [("emails", "email"), ("phones", "phone")] {
            var count = RedisCommand("HLEN")
            count.append("t1:{default}:people:\(key)")
            let found = try await bench.client.send(count)
            #expect(found == .integer(model.people.filter { $0.value.texts[name] != nil }.count))
        }
    }
}
