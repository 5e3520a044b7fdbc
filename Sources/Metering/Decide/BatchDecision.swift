// SPDX-License-Identifier: Apache-2.0

/// A decision as a batch asks it of the script.
struct BatchDecision {
    /// As lua/include/decide.lua numbers them.
    enum Kind: Int {
        case use = 1
        case useIfAllowed, check, consume, openHold, commitHold, releaseHold, grant, setAllowance
        case setOverride, look, giveBack, merge
    }

    let kind: Kind
    /// Index of its account in the batch; nil for that of the hold it is about.
    let account: Int?
    /// Of its event, counted from 1; 0 for none.
    var place = 0
    /// Milliseconds since 1970.
    let time: Int
    let credits: Int
    /// Whether the answer names the balance.
    let asksCredits: Bool
    /// Limits, by their index in the rules, and what is asked of each.
    let limits: [(index: Int, amount: Int)]
    var extra: [Extra] = []

    enum Extra {
        case text(ByteString)
        case number(Int)
        case amounts([(Meter, Int)])
    }

    func write(_ writer: MessagePackWriter) {
        writer.array(6 + extra.count)
        writer.integer(kind.rawValue)
        writer.integer(account.map { $0 + 1 } ?? 0)
        writer.integer(place)
        writer.integer(time)
        writer.integer(credits)
        writer.array(2 * limits.count)
        for (index, amount) in limits {
            writer.integer(index + 1)
            writer.integer(amount)
        }
        for extra in extra {
            switch extra {
            case .text(let text): writer.string(text.bytes)
            case .number(let number): writer.integer(number)
            case .amounts(let amounts):
                writer.array(2 * amounts.count)
                for (meter, amount) in amounts {
                    writer.meter(meter)
                    writer.integer(amount)
                }
            }
        }
    }
}

extension Verdict {
    /// A denial that was not asked of Redis.
    init(denied limits: [LimitState], number: Int?, at now: Timestamp) {
        denialNumber = number
        status = .limitReached
        balance = nil
        held = 0
        self.limits = limits
        creditsSufficeAt = nil
        holdState = nil
        holdEnd = nil
        time = now
        fields = []
    }

    /// Reads the script's answer to a decision: see lua/include/judge.lua.
    init?(
        _ fields: [MessagePackValue], to decision: BatchDecision, of list: DecisionList
    ) {
        guard let code = fields.first?.integer,
            let status = DecisionStatus(rawValue: code)
        else { return nil }
        self.status = status
        self.fields = fields
        denialNumber = nil
        time = list.now
        let isJudged = fields.count >= 3
        balance = isJudged && decision.asksCredits ? fields[1].integer : nil
        held = isJudged ? fields[2].integer ?? 0 : 0
        let isAboutHold =
            [.holdEnded, .repeated, .conflict, .alreadyCounted].contains(status)
            && fields.count == 5
        holdState = isAboutHold ? fields[3].integer.flatMap { HoldState(rawValue: $0) } : nil
        holdEnd = isAboutHold ? fields[4].integer.map { Timestamp(milliseconds: $0) } : nil
        var states: [LimitState] = []
        let head = 3 + 3 * decision.limits.count
        if !isAboutHold, fields.count == head || fields.count == head + 1 {
            for (place, (index, amount)) in decision.limits.enumerated() {
                let most = fields[4 + 3 * place].integer ?? -1
                let limit = list.rules.limits.limits[index]
                // Below 0 it is where a window begins that was used before the clock was set back.
                let told = fields[5 + 3 * place].integer ?? 0
                let ends = list.end(of: limit, at: told < 0 ? -told : nil)
                let at = told < 0 ? ends : told
                states.append(
                    LimitState(
                        limit: limit, asked: amount,
                        used: fields[3 + 3 * place].integer ?? 0, most: most < 0 ? nil : most,
                        resetsAt: at == 0 || at > Timestamp.last.milliseconds
                            ? nil : Timestamp(milliseconds: at),
                        windowSeconds: list.seconds(of: limit),
                        drains: at != ends))
            }
        }
        limits = states
        let credited = isJudged && fields.count == head + 1 ? fields[head].integer ?? 0 : 0
        creditsSufficeAt = credited == 0 ? nil : Timestamp(milliseconds: credited)
    }
}
