// SPDX-License-Identifier: Apache-2.0

import Foundation
import Observability
import Testing

@Suite struct MetricsTests {
    private let registry = MetricsRegistry()

    @Test func `The text reads back as what was counted`() throws {
        registry.counter("b_total", help: "Events.", labels: ["code": "200"]).add(3)
        registry.gauge("a", help: "Now.").set(-2)
        registry.computed("c", help: "Computed.") { .infinity }
        let exposition = try Exposition(registry.text())
        #expect(exposition.types == ["a": "gauge", "b_total": "counter", "c": "gauge"])
        #expect(exposition.value("b_total", ["code": "200"]) == 3)
        #expect(exposition.value("a") == -2)
        #expect(exposition.value("c") == .infinity)
    }

    @Test func `Hostile labels and help texts break no line`() throws {
        let label = "a\"b\\c\nd,e=\"f\"}{"
        registry.counter("x_total", help: "One\ntwo \\ \"three\"", labels: ["id": label]).add()
        let exposition = try Exposition(registry.text())
        #expect(exposition.samples.count == 1)
        #expect(exposition.value("x_total", ["id": label]) == 1)
        #expect(exposition.helps["x_total"] == "One\\ntwo \\\\ \"three\"")
    }

    @Test func `Buckets are cumulative, in order, and end with all`() throws {
        let histogram = registry.histogram(
            "wait_seconds", help: "Wait.", scale: 1e-6, labels: ["route": "/v1/events"])
        let observed = [-5, 0, 1, 2, 3, 4, 5, 1000, 1 << 23, (1 << 23) + 1, 1 << 40]
        for value in observed { histogram.observe(value) }
        let exposition = try Exposition(registry.text())
        let buckets = exposition.samples.filter { $0.name == "wait_seconds_bucket" }
        let bounds = try buckets.map { try #require(Double($0.labels["le"] ?? "")) }
        #expect(bounds == bounds.sorted())
        #expect(Set(bounds).count == bounds.count)
        #expect(bounds.last == .infinity)
        #expect(buckets.allSatisfy { $0.labels["route"] == "/v1/events" })
        #expect(buckets.allSatisfy { ($0.labels["le"] ?? "").utf8.count <= 9 })
        for (bound, bucket) in zip(bounds, buckets) {
            let expected = observed.filter { Double($0) / 1e6 <= bound }.count
            #expect(bucket.value == Double(expected), "le=\(bound)")
        }
        let labels = ["route": "/v1/events"]
        #expect(exposition.value("wait_seconds_count", labels) == Double(observed.count))
        let sum = Double(observed.reduce(0) { $0 + max(0, $1) }) / 1e6
        #expect(exposition.value("wait_seconds_sum", labels) == sum)
    }

    @Test func `The same name and labels are the same metric, in any order`() {
        let one = registry.counter("n_total", help: "N.", labels: ["a": "1", "b": "2"])
        #expect(one === registry.counter("n_total", help: "N.", labels: ["b": "2", "a": "1"]))
        #expect(one !== registry.counter("n_total", help: "N.", labels: ["a": "1", "b": "3"]))
    }

    @Test func `Counting from many tasks loses nothing`() async {
        let counter = registry.counter("m_total", help: "M.")
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1000 { counter.add() } }
            }
        }
        #expect(counter.current == 8000)
    }
}
