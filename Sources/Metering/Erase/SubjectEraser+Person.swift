// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension SubjectEraser {
    /// As lua/include/alert_fields.lua has notices.
    private static let noticeSubject = 4
    private static let noticeTime = 8

    /// Removes who it was, and what it was given to use. What comes of it meanwhile is to be removed again.
    func erasePerson() async throws {
        for name in erasure.names.map({ SubjectID(stored: $0) }) {
            guard let profile = try await context.queries.profile(of: name) else { continue }
            erasure.texts += profile.identifyingTexts.filter { !erasure.texts.contains($0) }
            if profile.isDemo, name == subject { erasure.isDemo = true }
            try await store.save(erasure)
            if try await context.queries.removeProfile(of: name) { erasure.add(1, to: .profiles) }
        }
        // Neither is on any board, also while what it used moves from one to the other.
        if erasure.isDemo {
            _ = try await send("SADD", [keys.demo, names[0], erasure.anonymous.id.bytes])
        }
        try await revokeAPIKeys()
        try await removeAlerts()
        try await eraseNotices(until: context.clock.now)
        try await returnPoolKeys()
    }

    /// Takes back what alerts have to tell of the person, until a time.
    func eraseNotices(until last: Timestamp) async throws {
        erasure.add(
            try await eraseNamed(
                keys.notices, [keys.dueNotices, keys.deadNotices], place: Self.noticeSubject,
                time: (Self.noticeTime, last)), to: .notices)
    }

    /// Nobody acts as the person, or as a guest that it was.
    private func revokeAPIKeys() async throws {
        let owned = SubjectKeys(client: client, keys: keys)
        try await owned.revoke(of: Set(erasure.names), for: erasure.id)
    }

    /// Removes alerts that are about the person, or sent to it.
    private func removeAlerts() async throws {
        let rules = RulesStore(client: client, keys: keys)
        let subjects = Set(erasure.names)
        let addresses = Set(erasure.texts.map { Profile.folded($0) })
        let old = try await rules.load().alerts
        let count =
            old.alerts.count
            - old.removing(about: subjects, to: addresses).alerts.count
        guard count > 0 else { return }
        _ = try await rules.put(.alerts) { rules, json in
            rules.alerts.removing(about: subjects, to: addresses).store(&json)
        }
        erasure.add(count, to: .alerts)
    }

    /// Has the keys of pools given back that the subject and its guests hold.
    private func returnPoolKeys() async throws {
        for name in names { try await returnPoolKeys(of: name) }
    }

    private func returnPoolKeys(of name: [UInt8]) async throws {
        // Whose a key is stands first, with its length: lua/include/pool_members.lua.
        let prefix = GrantRecord.name(of: name, [])
        while true {
            let reply = try await send(
                "ZRANGE",
                [
                    keys.poolHeld, Array("[".utf8) + prefix, Array("[".utf8) + prefix + [0xff],
                    Array("BYLEX".utf8), Array("LIMIT".utf8), Array("0".utf8), Array("100".utf8),
                ])
            let members = (reply.elements ?? []).compactMap(\.bytes)
            if members.isEmpty { return }
            for member in members {
                let parts = member.dropFirst(prefix.count).split(
                    separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, parts[1].count == 7,
                    let provider = PoolProvider(String(decoding: parts[0], as: UTF8.self))
                else { throw MeteringError.damaged(what: "the key pool") }
                let id = parts[1].reduce(0) { $0 << 8 | Int($1) }
                if try await context.queries.editPoolKey(id, of: provider, .erased) != nil {
                    erasure.add(1, to: .poolKeys)
                }
            }
            try await keep()
        }
    }
}
