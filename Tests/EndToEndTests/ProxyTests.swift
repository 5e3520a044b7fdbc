// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

extension EndToEnd {
    @Test func `A proxy of the environment sees no key that is for this machine`() async throws {
        let service = try TallyProcess()
        try await blocking {
            try service.start()
            func top(_ url: String, _ name: String, proxy: UInt16) throws -> (Int32, String) {
                let outcome = try TallyProcess.run(
                    ["top", "tokens", "--url", url],
                    environment: [
                        name: "http://127.0.0.1:\(proxy)", "TALLY_KEY": TallyProcess.key,
                        "no_proxy": "",
                    ])
                return (outcome.status, outcome.errors)
            }
            let closed = try freePort()
            for name in ["http_proxy", "all_proxy"] {
                for host in ["127.0.0.1", "localhost"] {
                    let url = "http://\(host):\(service.port)"
                    let (status, errors) = try top(url, name, proxy: closed)
                    #expect(status == 0, "\(name) for \(host): \(errors)")
                }
                // Another host is for the proxy to find. Here it is the service, which answers.
                let url = "http://tally.invalid"
                let (status, errors) = try top(url, name, proxy: service.port)
                #expect(!errors.contains("no service answers"), "\(name): \(status), \(errors)")
            }
        }
    }
}
