// SPDX-License-Identifier: Apache-2.0
//
// What a notice looks like on its way. The body of a webhook is made once and then signed as it is,
// so that whoever gets it can check the signature over the bytes that came.

internal import Cryptography
internal import JSON

/// Something to be delivered.
public enum AlertMessage: Sendable {
    /// A POST.
    case webhook(url: String, headers: [(name: String, value: String)], body: [UInt8])
    /// A plain text; the id is the same at every attempt.
    case email(to: String, subject: String, text: String, id: String)
}

/// What became of a message.
public enum AlertReceipt: Sendable, Equatable {
    case delivered
    /// It may be tried again.
    case failed(String)
    /// Whoever it is for wants no more of it.
    case refused(String)
    /// It never left: too much else is on its way.
    case unsent(String)
}

/// Delivers a message of a workspace, and tells what became of it. It may take 15 seconds at most, and
/// e-mail 130.
public typealias AlertCarrier = @Sendable (AlertMessage, WorkspaceID) async -> AlertReceipt

/// Makes messages of notices.
struct AlertMessages {
    /// The type of all events that tell a threshold.
    static let type: StaticString = "tally.threshold.reached"

    let workspace: WorkspaceID
    let limits: LimitBook

    /// A webhook's message, signed.
    ///
    /// `Tally-Signature: t=SECONDS,v1=HEX` has the HMAC-SHA256 of the time in seconds, a point and the
    /// body.
    func webhook(
        _ notice: AlertNotice, _ watched: Alert.Watched, url: String, secret: String, at now: Int
    ) -> AlertMessage {
        let body = event(notice, watched)
        let seconds = now.flooredQuotient(1000)
        let signature = hexadecimal(
            hmacSHA256(Array(secret.utf8), Array("\(seconds).".utf8) + body))
        return .webhook(
            url: url,
            headers: [
                ("Content-Type", "application/cloudevents+json; charset=utf-8"),
                ("Tally-Signature", "t=\(seconds),v1=\(signature)"),
                ("Tally-Notification", notice.id),
            ], body: body)
    }

    /// A CloudEvent (CloudEvents 1.0, JSON format).
    func event(_ notice: AlertNotice, _ watched: Alert.Watched) -> [UInt8] {
        var json = JSONWriter(capacity: 512)
        json.beginObject()
        json.key("specversion")
        json.string("1.0" as StaticString)
        json.key("id")
        json.string(notice.id)
        json.key("source")
        json.string("/v1/workspaces/\(workspace.text)")
        json.key("type")
        json.string(Self.type)
        json.key("time")
        json.string(notice.time.text)
        if let subject = notice.subject {
            json.key("subject")
            json.string(bytes: subject.bytes)
        }
        json.key("datacontenttype")
        json.string("application/json" as StaticString)
        json.key("data")
        json.beginObject()
        write(notice, watched, &json)
        json.endObject()
        json.endObject()
        return json.bytes
    }

    private func write(
        _ notice: AlertNotice, _ watched: Alert.Watched, _ json: inout JSONWriter
    ) {
        json.key("alert")
        json.string(notice.alertName)
        json.key("percent")
        json.integer(notice.percent)
        switch watched {
        case .limit(let name):
            json.key("limit")
            json.string(name)
            if let meter = meter(name) {
                json.key("meter")
                json.string(meter)
            }
            json.key("used")
            json.integer(notice.used)
            json.key("of")
            json.integer(notice.most)
        case .balance, .budget:
            json.key(watched == .balance ? "credits_used" : "cost")
            json.string(MicroDecimal.text(notice.used))
            json.key("of")
            json.string(MicroDecimal.text(notice.most))
        }
        json.key("resets_at")
        if let resets = notice.resets { json.string(resets.text) } else { json.null() }
    }

    private func meter(_ limit: String) -> String? {
        limits.index(named: limit.utf8).map { limits.limits[$0].meter.name }
    }

    /// A plain text of the same.
    func email(_ notice: AlertNotice, _ watched: Alert.Watched, to address: String) -> AlertMessage
    {
        let who = notice.subject.map { "\($0.text) has" } ?? "The workspace \(workspace.text) has"
        let (what, used, most) =
            switch watched {
            case .limit(let name):
                (
                    "the limit \(name)" + (meter(name).map { " (\($0))" } ?? ""), "\(notice.used)",
                    "\(notice.most)"
                )
            case .balance:
                ("its credits", MicroDecimal.text(notice.used), MicroDecimal.text(notice.most))
            case .budget:
                (
                    "its budget of the month", MicroDecimal.text(notice.used),
                    MicroDecimal.text(notice.most)
                )
            }
        let text = """
            \(who) reached \(notice.percent) % of \(what).

            Used: \(used) of \(most)
            Reached at: \(notice.time.text)
            Resets at: \(notice.resets?.text ?? "it does not reset")
            Workspace: \(workspace.text)
            Alert: \(notice.alertName)
            Notification: \(notice.id)

            """
        let about = notice.subject?.text ?? workspace.text
        return .email(
            to: address,
            subject: "\(notice.percent) % of \(what): \(about)",
            text: text, id: "\(notice.id).\(workspace.text)")
    }
}
