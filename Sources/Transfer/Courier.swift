// SPDX-License-Identifier: Apache-2.0
//
// Messages to places that others name. One thread drives all of them through libcurl's multi
// interface: a receiver that is slow, or never answers, holds up neither a loop of the service nor the
// messages to others.

internal import CCurl
internal import Dispatch
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
    }

    /// Whether webhooks may lead to any address, also without TLS.
    public let allowsPrivate: Bool
    private let mailServer: MailServer?
    private let agent: String
    private let inbox: CourierInbox?

    /// - Parameters:
    ///   - allowsPrivate: whether webhooks may lead to any address, also without TLS.
    ///   - mailServer: takes e-mail in; nil delivers none.
    ///   - agent: what it calls itself.
    public init(
        allowsPrivate: Bool = false, mailServer: MailServer? = nil, agent: String = "tally"
    ) {
        self.allowsPrivate = allowsPrivate
        self.mailServer = mailServer
        self.agent = agent
        inbox = CourierInbox()
    }

    deinit { inbox?.stop() }

    /// Whether there is a server for e-mail.
    public var canMail: Bool { mailServer != nil }

    /// Why a URL cannot be a webhook's, in words; nil when it can. Its host is looked up, which may
    /// take some seconds; one that has no address now is allowed.
    public func fault(ofWebhook url: String) async -> String? {
        let destination: Destination
        do throws(Destination.Fault) {
            destination = try Destination(url, isTrusted: allowsPrivate)
        } catch {
            return error.reason
        }
        if allowsPrivate { return nil }
        let leadsInside = await withCheckedContinuation { continuation in
            // The C library's resolver blocks.
            DispatchQueue.global().async {
                continuation.resume(returning: destination.leadsInside())
            }
        }
        return leadsInside ? "the host has an address that is not of the public internet" : nil
    }

    /// Posts a body. Any 2xx is a delivery; redirects are not followed, and of an answer no more than
    /// 64 KiB is read. It ends within 5 seconds, and 5 more when many others wait.
    public func post(
        _ url: String, headers: [(name: String, value: String)], body: [UInt8]
    ) async -> Outcome {
        do throws(Destination.Fault) {
            _ = try Destination(url, isTrusted: allowsPrivate)
        } catch {
            return .failed("target_forbidden: \(error.reason)")
        }
        let lines = headers.map { "\($0.name): \($0.value)" } + ["Expect:"]
        return await send(
            .post(url: url, lines: lines, body: body, agent: agent, isTrusted: allowsPrivate))
    }

    /// Mails a plain text. It ends within 10 seconds, and 5 more when many others wait.
    ///
    /// - Parameters:
    ///   - to: an address of ASCII without spaces and angle brackets; the caller has checked that.
    ///   - id: letters, digits, points and hyphens; a message that is sent again has the same.
    public func mail(to: String, subject: String, text: String, id: String) async -> Outcome {
        guard let mailServer else { return .failed("this process has no server for e-mail") }
        guard Self.isPlain(to), Self.isPlain(id) else { return .refused("no address of e-mail") }
        let message = MailMessage(
            from: mailServer.from, to: to, subject: subject, text: text, id: id, seconds: time(nil))
        return await send(.mail(server: mailServer, to: to, message: message.bytes))
    }

    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x3c && $0 != 0x3e }
    }

    private func send(_ parcel: Parcel) async -> Outcome {
        guard let inbox else { return .failed("there are no descriptors left") }
        return await withCheckedContinuation { continuation in
            inbox.add(Delivery(parcel: parcel) { continuation.resume(returning: $0) })
        }
    }
}

/// What is to be sent.
enum Parcel: Sendable {
    case post(url: String, lines: [String], body: [UInt8], agent: String, isTrusted: Bool)
    case mail(server: Courier.MailServer, to: String, message: [UInt8])
}

/// A parcel, and who wants to know what became of it.
struct Delivery: Sendable {
    let parcel: Parcel
    /// Called once, on any thread.
    let finish: @Sendable (Courier.Outcome) -> Void
    let added = ContinuousClock.now
}

/// What the courier's thread and others share. The thread is started with the first delivery, and ends
/// when the courier is gone and all is delivered.
final class CourierInbox: Sendable {
    private struct State {
        var waiting: [Delivery] = []
        var isRunning = false
        var isStopped = false
    }

    /// Readable when there is something new.
    let descriptor: Int32
    private let state = Mutex(State())

    init?() {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { return nil }
    }

    deinit { close(descriptor) }

    func add(_ delivery: Delivery) {
        let isFirst = state.withLock { state in
            state.waiting.append(delivery)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if isFirst, !startThread() {
            state.withLock { $0.isRunning = false }
            for delivery in take(.max) { delivery.finish(.failed("there is no thread left")) }
        } else {
            wake()
        }
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        wake()
    }

    /// Takes the first of those that wait.
    func take(_ count: Int) -> [Delivery] {
        var number: UInt64 = 0
        _ = Glibc.read(descriptor, &number, 8)
        return state.withLock { state in
            let taken = Array(state.waiting.prefix(count))
            state.waiting.removeFirst(taken.count)
            return taken
        }
    }

    /// Takes those that wait since a moment, or longer.
    func takeAdded(before moment: ContinuousClock.Instant) -> [Delivery] {
        state.withLock { state in
            let late = state.waiting.filter { $0.added < moment }
            if !late.isEmpty { state.waiting.removeAll { $0.added < moment } }
            return late
        }
    }

    /// Whether nobody is there any more, and nothing waits.
    var isOver: Bool { state.withLock { $0.isStopped && $0.waiting.isEmpty } }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(descriptor, &one, 8)
    }

    private func startThread() -> Bool {
        let reference = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                var all = sigset_t()
                sigfillset(&all)
                pthread_sigmask(SIG_BLOCK, &all, nil)
                let inbox = Unmanaged<CourierInbox>.fromOpaque(context).takeRetainedValue()
                CourierRound(inbox).run()
                return nil
            }, reference.toOpaque())
        guard code == 0 else {
            reference.release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}
