// SPDX-License-Identifier: Apache-2.0

internal import CCurl

/// One reused connection to a service, through libcurl's easy interface.
public final class HTTPClient {
    /// What a service answered.
    public struct Response {
        public var status = 0
        public var body: [UInt8] = []
        /// Seconds that the service asks to wait, 0 if it does not.
        public var retryAfter = 0
    }

    /// The service did not answer, in curl's words.
    public struct Unreachable: Error {
        public var reason: String
        /// Whether a part of the request was sent: it may have been carried out.
        public var wasSent = false
    }

    /// A 200 that is of another media type than what was asked for.
    public struct UnexpectedType: Error {
        /// What the answer says of itself.
        public var type: String
    }

    /// An answer that came in part.
    public struct BrokenOff: Error {
        public var reason: String
    }

    /// What curl hands over while it runs; more than the limit ends the transfer.
    private final class Sink {
        static let limit = 64 << 20
        var bytes: [UInt8] = []
        /// Whom the body of a 200 is for, as it comes, if it is of a media type; nil to keep it.
        let receive: ((UnsafeRawBufferPointer) throws -> Void)?
        let mediaType: String
        let handle: UnsafeMutableRawPointer
        var error: (any Error)?
        var receivedCount = 0

        init(
            _ handle: UnsafeMutableRawPointer, mediaType: String = "",
            _ receive: ((UnsafeRawBufferPointer) throws -> Void)? = nil
        ) {
            self.handle = handle
            self.receive = receive
            self.mediaType = mediaType
        }

        /// - Throws: `UnexpectedType`.
        func checkType() throws(UnexpectedType) {
            var text: UnsafeMutablePointer<CChar>?
            _ = tally_curl_get_string(handle, CURLINFO_CONTENT_TYPE, &text)
            let type = text.map { String(cString: $0) } ?? ""
            // Parameters may follow it.
            let name = type.prefix { !"; \t".contains($0) }
            guard name.lowercased() == mediaType else { throw UnexpectedType(type: type) }
        }

        /// Whether it took the bytes.
        func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
            var status = 0
            _ = tally_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
            guard let receive, status == 200 else {
                guard self.bytes.count + bytes.count <= Self.limit else { return false }
                self.bytes.append(contentsOf: bytes)
                return true
            }
            do {
                if receivedCount == 0 { try checkType() }
                try receive(bytes)
            } catch {
                self.error = error
                return false
            }
            receivedCount += bytes.count
            return true
        }
    }

    private let handle: UnsafeMutableRawPointer?
    private let authorization: String?
    private let agent: String
    private let headers: [String]

    /// - Parameters:
    ///   - key: the bearer key that it comes with; nil for none.
    ///   - agent: what it calls itself.
    ///   - headers: lines that go with every request, as `Name: value`.
    public init(key: String?, agent: String, headers: [String] = []) {
        self.agent = agent
        self.headers = headers
        handle = curl_easy_init()
        authorization = key.map { "Authorization: Bearer \($0)" }
    }

    deinit {
        curl_easy_cleanup(handle)
    }

    /// Sends a request and waits for its answer, up to a minute.
    ///
    /// - Parameter body: nil makes it a GET, otherwise it is a POST.
    public func send(
        _ url: String, body: [UInt8]? = nil, contentType: String = "application/json"
    ) throws(Unreachable) -> Response {
        guard let handle else { throw Unreachable(reason: "curl cannot be set up") }
        let sink = Sink(handle)
        let code = transfer(handle, url, sink, body, ["Content-Type: \(contentType)"]) {
            _ = tally_curl_set_long(handle, CURLOPT_TIMEOUT_MS, 60_000)
        }
        guard code == CURLE_OK else {
            var sentCount = 0
            _ = tally_curl_get_long(handle, CURLINFO_REQUEST_SIZE, &sentCount)
            throw Unreachable(
                reason: String(cString: curl_easy_strerror(code)), wasSent: sentCount > 0)
        }
        return response(handle, sink)
    }

    /// Sends a GET and hands the body of a 200 over as it comes, however long that takes; it may
    /// stand still for ten minutes.
    ///
    /// - Parameter mediaType: of a 200, in small letters.
    /// - Throws: `Unreachable` before the first byte, `BrokenOff` after it, `UnexpectedType`, and what
    ///   `receive` throws.
    public func download(
        _ url: String, as mediaType: String,
        receive: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Response {
        guard let handle else { throw Unreachable(reason: "curl cannot be set up") }
        let sink = Sink(handle, mediaType: mediaType, receive)
        let code = transfer(handle, url, sink, nil, []) {
            _ = tally_curl_set_long(handle, CURLOPT_LOW_SPEED_LIMIT, 1)
            _ = tally_curl_set_long(handle, CURLOPT_LOW_SPEED_TIME, 600)
        }
        if let error = sink.error { throw error }
        guard code == CURLE_OK else {
            let reason = String(cString: curl_easy_strerror(code))
            if sink.receivedCount > 0 { throw BrokenOff(reason: reason) }
            throw Unreachable(reason: reason)
        }
        let response = response(handle, sink)
        if response.status == 200, sink.receivedCount == 0 { try sink.checkType() }
        return response
    }

    private func transfer(
        _ handle: UnsafeMutableRawPointer, _ url: String, _ sink: Sink, _ body: [UInt8]?,
        _ lines: [String], deadline: () -> Void
    ) -> CURLcode {
        curl_easy_reset(handle)
        var list: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(list) }
        // Without an "Expect:" line curl would wait for leave to send a large body.
        for line in ["Accept: application/json, */*", "Expect:"] + lines + headers
            + (authorization.map { [$0] } ?? [])
        {
            list = curl_slist_append(list, line)
        }
        // Signals would be shared with the rest of the process.
        _ = tally_curl_set_long(handle, CURLOPT_NOSIGNAL, 1)
        _ = tally_curl_set_string(handle, CURLOPT_URL, url)
        _ = tally_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https")
        if (try? Destination(url, isTrusted: true))?.isThisMachine == true {
            // A proxy of the environment has no business here, and would get the key.
            _ = tally_curl_set_string(handle, CURLOPT_PROXY, "")
        }
        _ = tally_curl_set_string(handle, CURLOPT_USERAGENT, agent)
        _ = tally_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, 1500)
        deadline()
        _ = tally_curl_set_pointer(handle, CURLOPT_HTTPHEADER, list)
        _ = tally_curl_set_pointer(
            handle, CURLOPT_WRITEDATA, Unmanaged.passUnretained(sink).toOpaque())
        _ = tally_curl_set_callback(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            guard let bytes, let context else { return 0 }
            let sink = Unmanaged<Sink>.fromOpaque(context).takeUnretainedValue()
            let isTaken = sink.take(UnsafeRawBufferPointer(start: bytes, count: size * count))
            return isTaken ? size * count : 0
        }
        return withExtendedLifetime(sink) { perform(handle, body) }
    }

    private func response(_ handle: UnsafeMutableRawPointer, _ sink: Sink) -> Response {
        var status = 0
        var wait: curl_off_t = 0
        _ = tally_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
        _ = tally_curl_get_size(handle, CURLINFO_RETRY_AFTER, &wait)
        return Response(status: status, body: sink.bytes, retryAfter: Int(wait))
    }

    /// The body has to stay where it is until curl has sent it.
    private func perform(_ handle: UnsafeMutableRawPointer, _ body: [UInt8]?) -> CURLcode {
        guard var body else { return curl_easy_perform(handle) }
        return body.withUnsafeMutableBytes { bytes in
            _ = tally_curl_set_long(handle, CURLOPT_POST, 1)
            _ = tally_curl_set_size(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(bytes.count))
            _ = tally_curl_set_pointer(handle, CURLOPT_POSTFIELDS, bytes.baseAddress)
            return curl_easy_perform(handle)
        }
    }
}
