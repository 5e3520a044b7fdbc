// SPDX-License-Identifier: Apache-2.0

internal import CCurl

/// Drives deliveries on a thread of the courier's, where it is made and stays.
final class CourierRound {
    private static let longestWait = Duration.seconds(5)

    private let inbox: CourierInbox
    private let multi: UnsafeMutableRawPointer?
    private var running: [UnsafeMutableRawPointer: Transmission] = [:]

    init(_ inbox: CourierInbox) {
        self.inbox = inbox
        multi = curl_multi_init()
    }

    deinit { curl_multi_cleanup(multi) }

    /// Runs until the courier is gone.
    func run() {
        while !(inbox.isOver && running.isEmpty) {
            start()
            var count: Int32 = 0
            curl_multi_perform(multi, &count)
            finish()
            var wake = curl_waitfd(
                fd: inbox.descriptor, events: Int16(CURL_WAIT_POLLIN), revents: 0)
            // What is new is another thread's where this one has no room.
            curl_multi_poll(multi, &wake, hasRoom ? 1 : 0, 500, nil)
        }
    }

    private var hasRoom: Bool { running.count < inbox.perThread }

    private func start() {
        // First, so that nothing is begun whose claim may be over.
        for delivery in inbox.takeAdded(before: .now - Self.longestWait) {
            delivery.finish(.unsent("too many other messages are on their way"))
        }
        while hasRoom, let delivery = inbox.next() {
            guard let transmission = Transmission(delivery),
                curl_multi_add_handle(multi, transmission.handle) == CURLM_OK
            else {
                inbox.end(delivery)
                delivery.finish(.unsent("curl cannot be set up"))
                continue
            }
            running[transmission.handle] = transmission
        }
    }

    private func finish() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle
            else { continue }
            let code = message.pointee.data.result
            curl_multi_remove_handle(multi, handle)
            guard let transmission = running.removeValue(forKey: handle) else { continue }
            inbox.end(transmission.delivery)
            transmission.finish(code)
        }
    }
}

/// One delivery on its way, with what curl needs to stay where it is until the end.
final class Transmission {
    private static let answerBytesMax = 64 << 10
    private static let connectMS = 4_000
    private static let postMS = 5_000
    /// A server may look through a message before it says that it has it (RFC 5321, 4.5.3.2.6): who gives
    /// up earlier sends it again and again.
    private static let mailMS = 120_000
    private static let replyBytesMax = 200

    let handle: UnsafeMutableRawPointer
    let delivery: Delivery
    /// Names that curl knows, of this one alone.
    private let names: UnsafeMutableRawPointer
    private var lists: [UnsafeMutablePointer<curl_slist>] = []
    /// What is uploaded, and how much of it is.
    private var upload: [UInt8] = []
    private var uploaded = 0
    private var answered = 0
    private var isCut = false
    private var isForbidden = false
    /// The last line that a server for e-mail has said.
    private var reply = ""
    /// What curl has to say of a failure.
    private let fault: UnsafeMutablePointer<CChar>

    init?(_ delivery: Delivery) {
        guard let handle = curl_easy_init() else { return nil }
        guard let names = curl_share_init() else {
            curl_easy_cleanup(handle)
            return nil
        }
        self.handle = handle
        self.names = names
        fault = .allocate(capacity: Int(CURL_ERROR_SIZE))
        fault.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        self.delivery = delivery
        prepare()
        switch delivery.parcel {
        case .post(let url, let lines, let body, let agent, let isTrusted):
            preparePost(url, lines, body, agent, isTrusted)
        case .mail(let server, let to, let message): prepareMail(server, to, message)
        }
    }

    deinit {
        curl_easy_cleanup(handle)
        curl_share_cleanup(names)
        fault.deallocate()
        for list in lists { curl_slist_free_all(list) }
    }

    private var context: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    private func prepare() {
        set(CURLOPT_NOSIGNAL, 1)
        // It looks up nothing itself: the end of a transfer would wait for the thread that does, and all
        // others with it. Whatever name it asks for, it is that of the one host.
        _ = tally_curl_share_names(names)
        _ = tally_curl_set_pointer(handle, CURLOPT_SHARE, names)
        set(CURLOPT_RESOLVE, ["*:\(delivery.port):\(delivery.addresses.joined(separator: ","))"])
        set(CURLOPT_CONNECTTIMEOUT_MS, Self.connectMS)
        set(CURLOPT_FOLLOWLOCATION, 0)
        // A proxy of the environment would connect for us, to anywhere.
        set(CURLOPT_PROXY, "")
        _ = tally_curl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        _ = tally_curl_set_callback(handle, CURLOPT_WRITEFUNCTION) { _, size, count, context in
            guard let context else { return 0 }
            let this = Unmanaged<Transmission>.fromOpaque(context).takeUnretainedValue()
            return this.takeAnswer(size * count)
        }
    }

    private func preparePost(
        _ url: String, _ lines: [String], _ body: [UInt8], _ agent: String, _ isTrusted: Bool
    ) {
        set(CURLOPT_URL, url)
        set(CURLOPT_PROTOCOLS_STR, isTrusted ? "http,https" : "https")
        set(CURLOPT_TIMEOUT_MS, Self.postMS)
        set(CURLOPT_USERAGENT, agent)
        set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1)
        set(CURLOPT_POST, 1)
        _ = tally_curl_set_size(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
        var body = body
        body.withUnsafeMutableBytes {
            _ = tally_curl_set_pointer(handle, CURLOPT_COPYPOSTFIELDS, $0.baseAddress)
        }
        set(CURLOPT_HTTPHEADER, lines)
        guard !isTrusted else { return }
        _ = tally_curl_set_pointer(handle, CURLOPT_OPENSOCKETDATA, context)
        _ = tally_curl_set_open(handle) { context, _, address in
            guard let context, let address else { return -1 }
            let this = Unmanaged<Transmission>.fromOpaque(context).takeUnretainedValue()
            return this.openSocket(address)
        }
    }

    private func prepareMail(_ server: Courier.MailServer, _ to: String, _ message: [UInt8]) {
        set(CURLOPT_URL, server.url)
        set(CURLOPT_PROTOCOLS_STR, "smtp,smtps")
        set(CURLOPT_TIMEOUT_MS, Self.mailMS)
        set(CURLOPT_MAIL_FROM, "<\(server.from)>")
        set(CURLOPT_MAIL_RCPT, ["<\(to)>"])
        if let user = server.user, let password = server.password {
            set(CURLOPT_USERNAME, user)
            set(CURLOPT_PASSWORD, password)
            // A password goes over TLS, or nowhere.
            set(CURLOPT_USE_SSL, Int(CURLUSESSL_ALL.rawValue))
        } else {
            set(CURLOPT_USE_SSL, Int(CURLUSESSL_TRY.rawValue))
        }
        _ = tally_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, fault)
        _ = tally_curl_set_pointer(handle, CURLOPT_HEADERDATA, context)
        _ = tally_curl_set_callback(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            guard let bytes, let context else { return 0 }
            let this = Unmanaged<Transmission>.fromOpaque(context).takeUnretainedValue()
            this.takeReply(UnsafeRawBufferPointer(start: bytes, count: size * count))
            return size * count
        }
        upload = message
        set(CURLOPT_UPLOAD, 1)
        _ = tally_curl_set_pointer(handle, CURLOPT_READDATA, context)
        _ = tally_curl_set_callback(handle, CURLOPT_READFUNCTION) { bytes, size, count, context in
            guard let bytes, let context else { return 0 }
            let this = Unmanaged<Transmission>.fromOpaque(context).takeUnretainedValue()
            return this.giveUpload(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
        }
    }

    private func set(_ option: CURLoption, _ value: Int) {
        _ = tally_curl_set_long(handle, option, value)
    }

    private func set(_ option: CURLoption, _ value: String) {
        _ = tally_curl_set_string(handle, option, value)
    }

    private func set(_ option: CURLoption, _ lines: [String]) {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines { list = curl_slist_append(list, line) }
        guard let list else { return }
        lists.append(list)
        _ = tally_curl_set_pointer(handle, option, list)
    }

    // MARK: What curl asks

    private func takeAnswer(_ count: Int) -> Int {
        answered += count
        isCut = answered > Self.answerBytesMax
        return isCut ? 0 : count
    }

    private func takeReply(_ line: UnsafeRawBufferPointer) {
        let text = String(
            decoding: line.prefix(Self.replyBytesMax).filter { (0x20...0x7e).contains($0) },
            as: UTF8.self)
        // The end of a conversation says nothing of what was before it.
        if !text.hasPrefix("221") { reply = text }
    }

    private func giveUpload(_ room: UnsafeMutableRawBufferPointer) -> Int {
        let part = upload[uploaded..<min(uploaded + room.count, upload.count)]
        room.copyBytes(from: part)
        uploaded += part.count
        return part.count
    }

    /// Opens a socket for the address that curl is about to connect to, if that is a public one.
    private func openSocket(_ address: UnsafeMutablePointer<curl_sockaddr>) -> curl_socket_t {
        guard let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else { return -1 }
        let bytes = UnsafeRawBufferPointer(
            start: UnsafeRawPointer(address) + offset, count: Int(address.pointee.addrlen))
        guard Destination.isPublic(bytes) else {
            isForbidden = true
            return -1
        }
        return Destination.openSocket(
            address.pointee.family, address.pointee.socktype, address.pointee.protocol)
    }

    // MARK: The end

    func finish(_ code: CURLcode) {
        var status = 0
        _ = tally_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
        delivery.finish(outcome(code, status))
    }

    /// What became of e-mail. A recipient whom the server knows not, or wants nothing for, is refused for
    /// good (5xx to RCPT, RFC 5321, 4.2.1); any other refusal may be one of the server as it is now.
    private func mailOutcome(_ code: CURLcode) -> Courier.Outcome {
        if code == CURLE_OK { return .delivered }
        var reason = String(cString: fault)
        if reason.isEmpty { reason = String(cString: curl_easy_strerror(code)) }
        if code == CURLE_OPERATION_TIMEDOUT { return .failed("no answer in time: \(reason)") }
        guard reply.hasPrefix("4") || reply.hasPrefix("5") else { return .failed(reason) }
        let isOfRecipient = reason.hasPrefix("RCPT failed")
        reason = "the server for e-mail answers: \(reply)"
        return isOfRecipient && reply.hasPrefix("5") ? .refused(reason) : .failed(reason)
    }

    private func outcome(_ code: CURLcode, _ status: Int) -> Courier.Outcome {
        guard case .post = delivery.parcel else { return mailOutcome(code) }
        // What the answer says beyond its status is of no interest, nor whether it comes to an end.
        var isArrival = code == CURLE_OK || isCut && code == CURLE_WRITE_ERROR
        if (200...299).contains(status) { isArrival = true }
        guard isArrival else {
            if isForbidden {
                return .failed("target_forbidden: the host has no address of the public internet")
            }
            let reason = String(cString: curl_easy_strerror(code))
            return .failed(status == 0 ? reason : "\(reason) (\(status))")
        }
        switch status {
        case 200...299: return .delivered
        case 300...399: return .failed("the answer is \(status), and redirects are not followed")
        case 410: return .refused("the answer is 410")
        default: return .failed("the answer is \(status)")
        }
    }
}
