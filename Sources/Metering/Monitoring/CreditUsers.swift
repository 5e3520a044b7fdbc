// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// In which order users are listed; equal ones by id, as bytes.
public enum CreditUserOrder: String, Sendable, CaseIterable {
    /// Most consumed this month first.
    case consumed
    /// Most consumed ever first.
    case total
    /// Most left first.
    case balance
    /// By e-mail, in lower case, as bytes; those without one last.
    case email
}

/// Who has credits, and who has not.
public struct CreditCoverage: Sendable {
    /// Users with a profile, and others with credits.
    public internal(set) var userCount = 0
    public internal(set) var withBalanceCount = 0
    /// E-mails, or ids where there is none, in the order of ids; no more than were asked for.
    public internal(set) var without: [ByteString] = []
    /// Events that were counted for subjects which are in demo mode now.
    public internal(set) var demoEventCount = 0
}

/// What was counted in all.
public struct CreditStats: Sendable {
    public let eventCount: Int
    /// Micro-credits.
    public let credits: Int
    /// Subjects with an event in the last 30 days.
    public let activeCount: Int
    public let withBalanceCount: Int
}

/// Goes through all accounts for questions about all users. On its loop's thread only.
final class CreditUsers {
    private let queries: QueryEngine
    private let profiles: ProfileReader
    private let demo: DemoSubjects

    init(_ queries: QueryEngine, _ client: RedisClient, _ keys: Keyspace, _ demo: DemoSubjects) {
        self.queries = queries
        self.demo = demo
        profiles = ProfileReader(client: client, keys: keys)
    }

    private struct Candidate {
        let account: AccountSummary
        /// In lower case; nil where there is none, or where it does not matter.
        var email: ByteString?
        var person: CreditPerson?
    }

    /// The first users in an order. O(accounts × log limit), in slices of 100 of which no more than
    /// twice `limit` are kept.
    func first(_ limit: Int, by order: CreditUserOrder) async throws -> [CreditUser] {
        let listing = AccountListing(queries)
        var best = FirstOf<Candidate>(count: limit) { Self.precedes($0, $1, order) }
        while let accounts = try await listing.next() {
            let shown = shown(accounts)
            guard order == .email else {
                for account in shown { best.offer(Candidate(account: account)) }
                continue
            }
            for user in try await users(shown) {
                guard let account = user.account else { continue }
                best.offer(
                    Candidate(
                        account: account, email: user.person.email.map { Profile.folded($0) },
                        person: user.person))
            }
        }
        let candidates = best.sorted()
        if order == .email {
            return candidates.compactMap { candidate in
                candidate.person.map { CreditUser(person: $0, account: candidate.account) }
            }
        }
        return try await users(candidates.map(\.account))
    }

    private static func precedes(
        _ left: Candidate, _ right: Candidate, _ order: CreditUserOrder
    ) -> Bool {
        let (one, other) = (left.account, right.account)
        let isFirst: Bool?
        switch order {
        case .consumed: isFirst = higher(one.monthConsumed, other.monthConsumed)
        case .total: isFirst = higher(one.totalConsumed, other.totalConsumed)
        case .balance: isFirst = higher(one.balance, other.balance)
        case .email:
            switch (left.email, right.email) {
            case (let left?, let right?): isFirst = left == right ? nil : left < right
            case (nil, nil): isFirst = nil
            default: isFirst = left.email != nil
            }
        }
        return isFirst ?? (one.subject < other.subject)
    }

    private static func higher(_ left: Int, _ right: Int) -> Bool? {
        left == right ? nil : left > right
    }

    /// All of them, most consumed this month first: about 150 bytes of memory for each.
    func all() async throws -> [AccountSummary] {
        let listing = AccountListing(queries)
        var all: [AccountSummary] = []
        while let accounts = try await listing.next() { all += shown(accounts) }
        all.sort { ($1.monthConsumed, $0.subject) < ($0.monthConsumed, $1.subject) }
        return all
    }

    func count() async throws -> Int {
        let listing = AccountListing(queries)
        var count = 0
        while let accounts = try await listing.next() { count += shown(accounts).count }
        return count
    }

    /// Accounts with the names of their subjects.
    func users(_ accounts: [AccountSummary]) async throws(MeteringError) -> [CreditUser] {
        var users: [CreditUser] = []
        for start in stride(from: 0, to: accounts.count, by: 200) {
            let slice = accounts[start..<min(start + 200, accounts.count)]
            let ids = slice.map { SubjectID(stored: $0.subject) }
            for (account, profile) in zip(slice, try await profiles.profiles(of: ids)) {
                users.append(
                    CreditUser(person: CreditPerson(account.subject, profile), account: account))
            }
        }
        return users
    }

    /// Those of some accounts that have or had credits, without those in demo mode.
    private func shown(_ accounts: [AccountSummary]) -> [AccountSummary] {
        accounts.filter { $0.hasCredits && !demo.ids.contains($0.subject) }
    }

    /// Goes through profiles and accounts side by side, both in the order of ids. O(both).
    func coverage(_ limit: Int) async throws -> CreditCoverage {
        var coverage = CreditCoverage()
        coverage.demoEventCount = demo.records.reduce(0) { $0 + $1.record.eventCount }
        let listing = AccountListing(queries)
        // The next ones, the last of them first.
        var accounts: [AccountSummary] = []
        func fill() async throws {
            while accounts.isEmpty, let next = try await listing.next() {
                accounts = shown(next).reversed()
            }
        }
        func countAlone() {
            coverage.userCount += 1
            coverage.withBalanceCount += 1
            accounts.removeLast()
        }
        var cursor: ProfileCursor?
        repeat {
            let page = try await profiles.page(
                ProfileFilter(), by: .id, limit: 1000, after: cursor)
            for profile in page.profiles {
                try await fill()
                while let account = accounts.last, account.subject < profile.subject.id {
                    countAlone()
                    try await fill()
                }
                if let account = accounts.last, account.subject == profile.subject.id {
                    countAlone()
                } else if profile.kind == .user, !profile.isDemo {
                    coverage.userCount += 1
                    let person = CreditPerson(profile.subject.id, profile)
                    if coverage.without.count < limit {
                        coverage.without.append(person.email ?? person.subject)
                    }
                }
            }
            cursor = page.next
        } while cursor != nil
        try await fill()
        while !accounts.isEmpty {
            countAlone()
            try await fill()
        }
        return coverage
    }
}

extension AccountSummary {
    /// Whether it ever had credits: accounts are also made for limits.
    var hasCredits: Bool { nextReset != nil || balance != 0 || totalConsumed != 0 }
}

/// The first of many in an order. It holds no more than twice as many as are asked for.
private struct FirstOf<Element> {
    private let count: Int
    private let precedes: (Element, Element) -> Bool
    private var elements: [Element] = []
    /// Once there are enough: what does not come before it is not among the first.
    private var last: Element?

    init(count: Int, _ precedes: @escaping (Element, Element) -> Bool) {
        self.count = count
        self.precedes = precedes
    }

    mutating func offer(_ element: Element) {
        if let last, !precedes(element, last) { return }
        elements.append(element)
        if elements.count >= 2 * count { cut() }
    }

    mutating func sorted() -> [Element] {
        cut()
        return elements
    }

    private mutating func cut() {
        elements.sort(by: precedes)
        guard elements.count >= count else { return }
        elements.removeLast(elements.count - count)
        last = elements.last
    }
}
