// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Metering

extension API {
    /// A question about this workspace that is answered in pages.
    ///
    /// - Parameter parts: all that narrows it or puts it in order, but for how long a page is.
    func paged(_ name: String, _ parts: [String?]) -> PagedQuestion {
        PagedQuestion(name, parts, about: engine.settings)
    }
}

extension QueryParameters {
    /// Where an answer goes on; nil at its start.
    ///
    /// - Parameters:
    ///   - parameter: that has the cursor, and the member of an answer that the cursor is taken from.
    ///   - read: reads the place; nil for what is none.
    func place<Place>(
        of question: PagedQuestion,
        _ parameter: (name: String, member: String) = ("cursor", "next"),
        code: String = "invalid_cursor", read: (String) -> Place?
    ) throws(HTTPProblem) -> Place? {
        guard let text = text(parameter.name) else { return nil }
        guard let place = question.place(of: text).flatMap(read) else {
            throw .badRequest(
                code,
                "\(parameter.name) is the \"\(parameter.member)\" of an answer to the same question"
            )
        }
        return place
    }
}
