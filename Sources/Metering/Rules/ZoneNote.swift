// SPDX-License-Identifier: Apache-2.0

public import Redis

/// What Redis tells of the zone by which the days of `default` are cut, which is an option of the
/// service: days of two zones in one workspace would count an hour on two dates.
public enum ZoneNote {
    /// Notes the zone if none is noted.
    ///
    /// - Parameter takesPlace: whether it may take the place of another one while nothing was counted
    ///   and nobody has an account.
    /// - Returns: why nothing may be counted by this zone; nil when it is the one in force.
    public static func problem(
        _ client: RedisClient, _ settings: WorkspaceSettings, takesPlace: Bool
    ) async throws(RedisError) -> String? {
        let keys = Keyspace(settings)
        let mine = settings.calendar.zone
        let reply = try await client.run(
            ScriptLibrary.keepZone, keys: [keys.rules, keys.subjects, keys.accounts],
            arguments: [Array(mine.utf8), Array((takesPlace ? "1" : "0").utf8)])
        guard let zone = reply.text else { throw .unexpectedReply("keep_zone") }
        guard zone != mine else { return nil }
        return
            "the days of these data begin in the zone \(zone), and this service goes by \(mine): "
            + "start it with --time-zone \(zone)"
    }
}
