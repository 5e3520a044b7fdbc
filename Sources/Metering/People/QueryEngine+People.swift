// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension QueryEngine {
    /// The most rows of one import.
    public static let importCountMax = 10_000

    /// Who a subject is; nil when nothing is known.
    public func profile(of subject: SubjectID) async throws(MeteringError) -> Profile? {
        try await profileReader().profiles(of: [subject])[0]
    }

    /// Who some subjects are, by their ids; those without a profile are missing. O(subjects).
    public func profiles(
        named subjects: Set<ByteString>
    ) async throws(MeteringError) -> [ByteString: Profile] {
        var known: [ByteString: Profile] = [:]
        let ids = subjects.map { SubjectID(stored: $0) }
        for from in stride(from: 0, to: ids.count, by: 200) {
            let some = Array(ids[from..<min(from + 200, ids.count)])
            for profile in try await profileReader().profiles(of: some) {
                if let profile { known[profile.subject.id] = profile }
            }
        }
        return known
    }

    /// Creates a profile, or replaces all of it but when it was created.
    ///
    /// - Parameter mayReplace: if not, a subject with a profile keeps it: rejected with 412.
    /// - Returns: what became of it; never `.unchanged` of something else.
    public func putProfile(
        of subject: SubjectID, _ change: ProfileChange, mayReplace: Bool = true
    ) async throws(MeteringError) -> ProfileResult {
        try await profileWriter().write(
            [ProfileRow(subject: subject, change: change)], isNew: true, mayReplace: mayReplace)[0]
    }

    /// Changes fields of a profile; rejected with 404 when there is none.
    public func changeProfile(
        of subject: SubjectID, _ change: ProfileChange
    ) async throws(MeteringError) -> ProfileResult {
        try await profileWriter().write(
            [ProfileRow(subject: subject, change: change)], mayCreate: false)[0]
    }

    /// Changes fields of profiles, or creates them, in their order, each for itself.
    ///
    /// - Returns: what became of each row. When it throws, some of them may be written.
    /// - Complexity: O(rows log profiles), in calls of 25 rows.
    public func importProfiles(_ rows: [ProfileRow]) async throws(MeteringError) -> [ProfileResult]
    {
        try await profileWriter().write(rows)
    }

    /// Removes a profile, and nothing of what the subject has used. Whether there was one.
    public func removeProfile(of subject: SubjectID) async throws(MeteringError) -> Bool {
        try await profileWriter().remove(subject)
    }

    /// Profiles in an order. While others change, none is told twice and none is left out that
    /// keeps its place in the order.
    ///
    /// One page looks at 20,000 profiles at most, in slices of 200, so that it may have less than
    /// `limit`, and a next page all the same.
    ///
    /// - Parameters:
    ///   - isDescending: the same order, backwards.
    ///   - limit: 1 to 1000.
    ///   - cursor: `next` of the page before, nil for the first.
    public func profiles(
        _ filter: ProfileFilter = ProfileFilter(), by order: ProfileOrder = .id,
        isDescending: Bool = false, limit: Int, after cursor: ProfileCursor? = nil
    ) async throws(MeteringError) -> ProfilePage {
        try await profileReader().page(
            filter, by: order, isDescending: isDescending, limit: limit, after: cursor)
    }

    func profileReader() throws(MeteringError) -> ProfileReader {
        ProfileReader(client: try client, keys: keys)
    }

    private func profileWriter() throws(MeteringError) -> ProfileWriter {
        ProfileWriter(client: try client, keys: keys, clock: clock)
    }
}
