// SPDX-License-Identifier: Apache-2.0

import Redis
import Testing

private struct Good: Sendable {
    var url: String
    var address: RedisConfiguration.Address
    var user: String?
    var password: String?
    var database = 0
}

@Suite struct URLTests {
    @Test(arguments: [
        Good(url: "redis://h", address: .tcp(host: "h", port: 6379)),
        Good(url: "REDIS://h:1/", address: .tcp(host: "h", port: 1)),
        Good(
            url: "redis://user:p%40ss@h:6379/99", address: .tcp(host: "h", port: 6379),
            user: "user", password: "p@ss", database: 99),
        Good(url: "redis://:a:b@h", address: .tcp(host: "h", port: 6379), password: "a:b"),
        Good(url: "redis://:a@b@h", address: .tcp(host: "h", port: 6379), password: "a@b"),
        Good(url: "redis://:%2f%3F%23@h", address: .tcp(host: "h", port: 6379), password: "/?#"),
        Good(url: "redis://[::1]:7000/2", address: .tcp(host: "::1", port: 7000), database: 2),
        Good(url: "redis://[fe80::1]", address: .tcp(host: "fe80::1", port: 6379)),
        Good(url: "redis://127.0.0.1:65535", address: .tcp(host: "127.0.0.1", port: 65_535)),
        Good(url: "redis://h?db=4", address: .tcp(host: "h", port: 6379), database: 4),
        Good(url: "unix:///run/redis.sock", address: .unix("/run/redis.sock")),
        Good(url: "unix:///a%20b?db=3", address: .unix("/a b"), database: 3),
        Good(url: "unix://:pw@/s", address: .unix("/s"), password: "pw"),
        Good(
            url: "unix:///" + String(repeating: "x", count: 106),
            address: .unix("/" + String(repeating: "x", count: 106))),
    ])
    private func `A good URL is read to the letter`(_ good: Good) throws {
        let configuration = try RedisConfiguration(url: good.url)
        #expect(configuration.address == good.address)
        #expect(configuration.user == good.user)
        #expect(configuration.password == good.password)
        #expect(configuration.database == good.database)
    }

    @Test(arguments: [
        ("", "starts with"), ("localhost:6379", "starts with"), ("http://h", "scheme"),
        ("rediss://h", "TLS"), ("redis://", "no host"), ("redis://:6379", "no host"),
        ("redis://h:0", "port"), ("redis://h:65536", "port"), ("redis://h:", "port"),
        ("redis://h:+1", "port"), ("redis://h:1x", "port"), ("redis://h:-1", "port"),
        ("redis://::1", "no host"), ("redis://1::2", "port"), ("redis://[::1", "not closed"),
        ("redis://[h]", "IPv6"),
        ("redis://[::1]x", "after ]"), ("redis://h/x", "database"), ("redis://h/-1", "database"),
        ("redis://h/1/2", "database"), ("redis://h/65536", "database"),
        ("redis://h/1?db=2", "twice"),
        ("redis://h?timeout=1", "parameter"), ("redis://h?", "parameter"),
        ("redis://h?db=", "database"), ("redis://h#x", "fragment"),
        ("redis://user@h", "without a password"), ("redis://user:@h", "password is empty"),
        ("redis://:%zz@h", "%"), ("redis://:%4@h", "%"), ("redis://:%+1@h", "%"),
        ("redis://:%ff@h", "no text"), ("redis://:a%00b@h", "no text"), ("redis://h h", "spaces"),
        ("redis://h\r\n", "spaces"), ("redis://h\u{e9}", "ASCII"), ("redis://h!", "host"),
        ("unix://", "no socket"), ("unix:///", "no socket"), ("unix://host/path", "full path"),
        ("unix:///x?db=a", "database"), ("unix:///x%00", "no text"),
        ("unix:///" + String(repeating: "x", count: 107), "108 bytes"),
    ])
    func `A bad URL is refused, and the problem is named`(_ url: String, _ problem: String) {
        let error = #expect(throws: RedisURLError.self) {
            _ = try RedisConfiguration(url: url)
        }
        #expect(error?.reason.contains(problem) == true, "\(error?.reason ?? "accepted")")
    }

    @Test func `A refusal never repeats the password`() {
        for url in ["redis://u:secret@h:x", "redis://u:secret%@h", "unix://u:secret@h/x"] {
            let error = #expect(throws: RedisURLError.self) { _ = try RedisConfiguration(url: url) }
            #expect(error?.description.contains("secret") == false)
        }
    }
}
