// SPDX-License-Identifier: Apache-2.0
//
// Messages to places that others name. One thread drives all webhooks through libcurl's multi
// interface: a receiver that is slow, or never answers, holds up neither a loop of the service nor the
// messages to others. E-mail has threads of its own, each with one message at a time: libcurl waits where
// it is for what a server says at the end of a message.

internal import CCurl
internal import Glibc
internal import Synchronization

/// Delivers messages by HTTP and SMTP. From any thread.
public final class Courier: Sendable {
    /// A server that takes e-mail in.
    public struct MailServer: Sendable, Equatable {
        /// `smtp://HOST:PORT` or `smtps://HOST:PORT`.
        public var url: String
        /// The sender's address.
        public var from: String
        public var user: String?
        public var password: String?

        public init(url: String, from: String, user: String? = nil, password: String? = nil) {
            self.url = url
            self.from = from
            self.user = user
            self.password = password
        }
    }

    /// What became of a message.
    public enum Outcome: Sendable, Equatable {
        case delivered
        /// It may be tried again.
        case failed(String)
        /// Its receiver wants no more of it: 410.
        case refused(String)
        /// It was not begun: too much else is on its way.
        case unsent(String)
    }

    /// Of one host, that are tried.
    private static let addressesMax = 16

    /// Whether webhooks may lead to any address, also without TLS.
    public let allowsPrivate: Bool
    private let mailServer: MailServer?
    private let agent: String
    private let posts: CourierInbox?
    private let mails: CourierInbox?
    private let lookups: HostLookups

    /// - Parameters:
    ///   - allowsPrivate: whether webhooks may lead to any address, also without TLS.
    ///   - mailServer: takes e-mail in; nil delivers none.
    ///   - agent: what it calls itself.
    public convenience init(
        allowsPrivate: Bool = false, mailServer: MailServer? = nil, agent: String = "tally"
    ) {
        self.init(
            allowsPrivate: allowsPrivate, mailServer: mailServer, agent: agent,
            lookups: HostLookups())
    }

    init(allowsPrivate: Bool, mailServer: MailServer?, agent: String, lookups: HostLookups) {
        self.lookups = lookups
        self.allowsPrivate = allowsPrivate
        self.mailServer = mailServer
        self.agent = agent
        // A receiver that never answers holds a part of the places only.
        posts = CourierInbox(
            Turns(countMax: 128, ofSenderMax: 64, ofHostMax: 16), threadsMax: 1, perThread: 128)
        mails = CourierInbox(
            Turns(countMax: 8, ofSenderMax: 4, ofHostMax: 8), threadsMax: 8, perThread: 1)
    }

    deinit {
        posts?.stop()
        mails?.stop()
    }

    /// Whether there is a server for e-mail.
    public var canMail: Bool { mailServer != nil }

    /// Why a URL cannot be a webhook's, in words; nil when it can. Its host is looked up, which may
    /// take some seconds; one that has no address now, or whose name server does not answer, is allowed.
    ///
    /// - Parameter sender: on whose behalf; those of one sender keep nobody else waiting.
    public func fault(ofWebhook url: String, for sender: String = "") async -> String? {
        let destination: Destination
        do throws(Destination.Fault) {
            destination = try Destination(url, isTrusted: allowsPrivate)
        } catch {
            return error.reason
        }
        if allowsPrivate { return nil }
        guard case .found(let addresses) = await addresses(of: destination, for: sender),
            !addresses.allSatisfy(\.isPublic)
        else { return nil }
        return "the host has an address that is not of the public internet"
    }

    /// Posts a body. Any 2xx is a delivery; redirects are not followed, and of an answer no more than
    /// 64 KiB is read. It ends within 5 seconds, and 8 more when the name server is slow and many
    /// others wait.
    ///
    /// - Parameter sender: on whose behalf.
    public func post(
        _ url: String, headers: [(name: String, value: String)], body: [UInt8],
        for sender: String = ""
    ) async -> Outcome {
        let destination: Destination
        do throws(Destination.Fault) {
            destination = try Destination(url, isTrusted: allowsPrivate)
        } catch {
            return .failed("target_forbidden: \(error.reason)")
        }
        let lines = headers.map { "\($0.name): \($0.value)" } + ["Expect:"]
        return await send(
            .post(url: url, lines: lines, body: body, agent: agent, isTrusted: allowsPrivate),
            by: posts, to: destination, isTrusted: allowsPrivate, for: sender)
    }

    /// Mails a plain text. It ends within two minutes, and 8 seconds more when the name server is slow and many
    /// others wait.
    ///
    /// - Parameters:
    ///   - to: an address of ASCII without spaces and angle brackets; the caller has checked that.
    ///   - id: letters, digits, points and hyphens; a message that is sent again has the same.
    ///   - sender: on whose behalf.
    public func mail(
        to: String, subject: String, text: String, id: String, for sender: String = ""
    ) async -> Outcome {
        guard let mailServer else { return .failed("this process has no server for e-mail") }
        guard Self.isPlain(to), Self.isPlain(id) else { return .refused("no address of e-mail") }
        let destination: Destination
        do throws(Destination.Fault) {
            destination = try Destination(ownServer: mailServer.url)
        } catch {
            return .failed("the server for e-mail: \(error.reason)")
        }
        let message = MailMessage(
            from: mailServer.from, to: to, subject: subject, text: text, id: id, seconds: time(nil))
        return await send(
            .mail(server: mailServer, to: to, message: message.bytes), by: mails,
            to: destination, isTrusted: true, for: sender)
    }

    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x3c && $0 != 0x3e }
    }

    /// The addresses of a host that is a name, or the one that it is.
    private func addresses(
        of destination: Destination, for sender: String
    ) async -> HostLookups.Answer {
        // Numbers are read where they are: no name server is asked.
        if destination.isAddress { return HostLookups.system(destination.host) }
        return await lookups.addresses(of: destination.host, for: sender)
    }

    private func send(
        _ parcel: Parcel, by inbox: CourierInbox?, to destination: Destination, isTrusted: Bool,
        for sender: String
    ) async -> Outcome {
        guard let inbox else { return .failed("there are no descriptors left") }
        var addresses: [HostAddress]
        switch await self.addresses(of: destination, for: sender) {
        case .found(let found): addresses = found
        case .missing: return .failed("the host has no address")
        case .silent: return .failed("the name server of the host does not answer")
        case .unasked: return .unsent("too many names of other hosts are looked up")
        }
        if !isTrusted { addresses.removeAll { !$0.isPublic } }
        guard !addresses.isEmpty else {
            return .failed("target_forbidden: the host has no address of the public internet")
        }
        let texts = addresses.prefix(Self.addressesMax).map(\.text)
        return await withCheckedContinuation { continuation in
            inbox.add(
                Delivery(
                    parcel: parcel, sender: sender,
                    host: "\(destination.host):\(destination.port)", port: destination.port,
                    addresses: texts
                ) { continuation.resume(returning: $0) })
        }
    }
}

/// What is to be sent.
enum Parcel: Sendable {
    case post(url: String, lines: [String], body: [UInt8], agent: String, isTrusted: Bool)
    case mail(server: Courier.MailServer, to: String, message: [UInt8])
}

/// A parcel, and who wants to know what became of it.
struct Delivery: Sendable, Turn {
    let parcel: Parcel
    let sender: String
    let host: String
    let port: UInt16
    /// Of the host, as they were looked up and judged.
    let addresses: [String]
    /// Called once, on any thread.
    let finish: @Sendable (Courier.Outcome) -> Void
    let added = ContinuousClock.now
}

/// What the courier's threads and others share. A thread is started with the first delivery, and another one
/// when all are busy; they end when the courier is gone and all is delivered.
final class CourierInbox: Sendable {
    private struct State {
        var turns: Turns<Delivery>
        var threads = 0
        /// What is on its way, or waits.
        var deliveries = 0
        var isStopped = false
    }

    /// Readable when there is something new.
    let descriptor: Int32
    /// How many a thread has on their way at the same time.
    let perThread: Int
    private let threadsMax: Int
    private let state: Mutex<State>

    init?(_ turns: Turns<Delivery>, threadsMax: Int, perThread: Int) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        self.threadsMax = threadsMax
        self.perThread = perThread
        state = Mutex(State(turns: turns))
        guard descriptor >= 0 else { return nil }
    }

    deinit { close(descriptor) }

    func add(_ delivery: Delivery) {
        let (wantsThread, threads) = state.withLock { state in
            state.turns.add(delivery)
            state.deliveries += 1
            let wants =
                state.threads < threadsMax && state.deliveries > state.threads * perThread
            if wants { state.threads += 1 }
            return (wants, state.threads)
        }
        if wantsThread, !startThread({ CourierRound(self).run() }) {
            state.withLock { $0.threads -= 1 }
            guard threads == 1 else { return wake() }
            for delivery in takeAdded(before: .now) {
                delivery.finish(.unsent("there is no thread left"))
            }
        } else {
            wake()
        }
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        wake()
    }

    /// Takes the next one that may be sent now; it has its place until it ends.
    func next() -> Delivery? {
        var number: UInt64 = 0
        _ = Glibc.read(descriptor, &number, 8)
        return state.withLock { $0.turns.next() }
    }

    func end(_ delivery: Delivery) {
        state.withLock { state in
            state.turns.end(delivery)
            state.deliveries -= 1
        }
    }

    /// Takes those that wait since a moment, or longer.
    func takeAdded(before moment: ContinuousClock.Instant) -> [Delivery] {
        state.withLock { state in
            let old = state.turns.remove { $0.added <= moment }
            state.deliveries -= old.count
            return old
        }
    }

    /// Whether nobody is there any more, and nothing waits.
    var isOver: Bool { state.withLock { $0.isStopped && $0.turns.isEmpty } }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(descriptor, &one, 8)
    }
}
