// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import JSON

/// The events of a file, each as a line of JSON or as the reason why it is none.
final class EventReader {
    struct Item: Equatable {
        var line: Int
        var result: Outcome
    }

    enum Outcome: Equatable {
        case event(String)
        case bad(String)
    }

    private enum Input {
        case lines(LineReader)
        case rows(CSVReader)
    }

    private let verb: ImportVerb
    private let file: InputFile
    private let input: Input
    /// Whether lines may get ids: a pipe of the same name may bring another file each time.
    private let canName: Bool
    /// The row that was read last, if it makes an event.
    private var lastEvent: Int?
    private let reader: JSONReader
    /// Where each target stands in a row.
    private var places: [(target: String, index: Int)] = []
    private var width = 0

    init(_ verb: ImportVerb) throws(ClientError) {
        self.verb = verb
        do throws(JSONError) {
            // What else there is to refuse, the service refuses with its reason.
            reader = try JSONReader(limits: JSONLimits(stringBytes: LineReader.bytesMax))
        } catch {
            throw .input("\(error)")
        }
        let file = try InputFile(path: verb.path)
        self.file = file
        canName = file.isRegular || verb.source != nil
        guard verb.actualFormat == .csv else {
            input = .lines(LineReader(file))
            return
        }
        let rows = try CSVReader(file)
        input = .rows(rows)
        guard let header = try rows.header() else { throw .input("\(verb.path): is empty") }
        width = header.count
        for (target, column) in verb.columns {
            guard let index = header.firstIndex(of: column) else {
                let hint = Text.hint(column, among: header)
                throw .input("\(verb.path): has no column \(Text.quoted(column))\(hint)")
            }
            guard header.lastIndex(of: column) == index else {
                throw .input("\(verb.path): has the column \(Text.quoted(column)) twice")
            }
            places.append((target, index))
        }
    }

    func next() throws(ClientError) -> Item? {
        switch input {
        case .lines(let lines):
            guard let line = try lines.next() else { return nil }
            return Item(line: line.number, result: try event(line))
        case .rows(let rows):
            guard let row = try rows.next() else { return nil }
            let result = try event(row)
            lastEvent = if case .event = result { row.line } else { nil }
            return Item(line: row.line, result: result)
        }
    }

    /// The last row, if it makes an event and no line break says that it is whole. To be asked at the end.
    var openRow: Int? {
        guard case .rows = input, file.lastByte != 0x0a, file.lastByte != 0x0d else { return nil }
        return lastEvent
    }

    /// What a line without an id gets.
    func id(_ line: Int) -> String { "\(verb.sourceName):\(line)" }

    private func event(_ row: CSVReader.Row) throws(ClientError) -> Outcome {
        if let problem = row.problem { return .bad(problem) }
        guard row.cells.count == width else {
            return .bad(Text.width(row.cells.count, of: width))
        }
        let bytes = places.reduce(0) { $0 + row.cells[$1.index].utf8.count }
        guard bytes <= LineReader.bytesMax else { return .bad(LineReader.tooLong) }
        var event = Event(action: verb.action, model: verb.model)
        for (target, index) in places {
            let cell = row.cells[index]
            // A table has no other way to leave a value out of one row.
            if cell.isEmpty { continue }
            switch target {
            case "id": event.id = cell
            case "subject": event.subject = cell
            case "action": event.action = cell
            case "model": event.model = cell
            case "description": event.description = cell
            case let name where Event.decimals.contains(name):
                guard Text.isDecimal(cell) else {
                    return .bad("\(name) is \(Text.quoted(cell)), which is no decimal")
                }
                event.sums.append((name, cell))
            case "time":
                guard let time = Event.time(cell) else {
                    return .bad("\(Text.quoted(cell)) is no time")
                }
                event.time = time
            default:
                guard Text.isDigits(cell) else {
                    return .bad("\(target) is \(Text.quoted(cell)), which is no whole number")
                }
                guard let amount = Int(cell) else {
                    return .bad("\(target) is \(Text.quoted(cell)), which is too large")
                }
                event.meters.append((target, amount))
            }
        }
        guard event.id != nil || canName else { throw .nameless(path: verb.path, line: row.line) }
        event.id = event.id ?? id(row.line)
        event.subject = event.subject ?? verb.spread?.subject(line: row.line)
        let json = event.json
        // Escapes may make it six times as long as its row, and what is sent at once has a limit.
        guard json.utf8.count <= LineReader.bytesMax else { return .bad(LineReader.tooLong) }
        return .event(json)
    }

    private func event(_ line: LineReader.Line) throws(ClientError) -> Outcome {
        guard let bytes = line.bytes else { return .bad(LineReader.tooLong) }
        let read: EventLine?
        do throws(JSONError) {
            read = try EventLine(bytes, reader)
        } catch {
            let isText = String(validating: bytes, as: UTF8.self) != nil
            return .bad(isText ? "is no JSON object of an event: \(error)" : Text.notUTF8)
        }
        guard let event = read else { return .bad("is no JSON object of an event") }
        guard event.hasID || canName else {
            throw .nameless(path: verb.path, line: line.number)
        }
        return .event(
            event.json { member in
                switch member {
                case .id: id(line.number)
                case .subject: verb.spread?.subject(line: line.number)
                case .action: verb.action
                case .model: verb.model
                }
            })
    }
}
