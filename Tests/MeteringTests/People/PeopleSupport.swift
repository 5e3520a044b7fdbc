// SPDX-License-Identifier: Apache-2.0

import JSON
import Metering
import Redis
import TestSupport
import Testing

/// A change as its JSON says it.
func change(_ json: String) throws -> ProfileChange {
    try ProfileChange(try JSONReader().read(json))
}

extension ProfileResult {
    var profile: Profile? {
        switch self {
        case .created(let profile), .updated(let profile), .unchanged(let profile): profile
        case .rejected: nil
        }
    }
    /// What became of it, in a word.
    var word: String {
        switch self {
        case .created: "created"
        case .updated: "updated"
        case .unchanged: "unchanged"
        case .rejected(let rejection): rejection.code
        }
    }
}

extension QueryEngine {
    /// Puts a profile in place that has to be accepted.
    func put(_ subject: String, _ json: String) async throws {
        let result = try await putProfile(of: subjectID(subject), try change(json))
        #expect(result.profile != nil, "\(subject): \(result.word)")
    }

    /// All profiles of a list, read by pages of a length.
    func all(
        _ filter: ProfileFilter = ProfileFilter(), by order: ProfileOrder = .id,
        isDescending: Bool = false, limit: Int = 1000
    ) async throws -> [Profile] {
        var profiles: [Profile] = []
        var cursor: ProfileCursor?
        repeat {
            let page = try await self.profiles(
                filter, by: order, isDescending: isDescending, limit: limit, after: cursor)
            #expect(page.profiles.count <= limit)
            profiles += page.profiles
            cursor = page.next
            if let text = cursor?.text {
                #expect(ProfileCursor(text, of: order, isDescending: isDescending) == cursor)
                #expect(ProfileCursor(text, of: order, isDescending: !isDescending) == nil)
            }
        } while cursor != nil
        return profiles
    }
}

extension Bench {
    /// What a set in Redis holds.
    func members(_ key: String) async throws -> [String] {
        var command = RedisCommand("SMEMBERS")
        command.append(key)
        return try await client.send(command).array?.compactMap(\.text) ?? []
    }
}
