// SPDX-License-Identifier: Apache-2.0

/// First in, first out, in one array whose used-up front is cut off now and then.
struct Queue<Element> {
    private var elements: [Element?] = []
    private var start = 0

    var count: Int { elements.count - start }
    var first: Element? { start < elements.count ? elements[start] : nil }

    mutating func append(_ element: Element) { elements.append(element) }

    /// Changes the last elements for which that holds, from the end on. O(how many these are).
    mutating func updateLast(
        while isMeant: (Element) -> Bool, _ change: (inout Element) -> Void
    ) {
        for index in (start..<elements.count).reversed() {
            guard var element = elements[index], isMeant(element) else { return }
            change(&element)
            elements[index] = element
        }
    }

    mutating func popFirst() -> Element? {
        guard start < elements.count else { return nil }
        let element = elements[start]
        elements[start] = nil
        start += 1
        if start == elements.count {
            elements.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 512, start * 2 > elements.count {
            elements.removeSubrange(..<start)
            start = 0
        }
        return element
    }
}
