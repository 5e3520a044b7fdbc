// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Observability

/// The library that draws the pages' charts, as Debian packages it (libjs-chart.js).
enum ChartLibrary {
    private static let paths = [
        "/usr/share/javascript/chart.js/Chart.min.js",
        "/usr/share/javascript/chart.js/chart.min.js",
    ]
    private static let byteCountMax = 4 << 20

    /// Nil when it is not installed: pages have tables all the same.
    static func read(_ logger: Logger) -> [UInt8]? {
        for path in paths {
            guard let file = fopen(path, "re") else { continue }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: byteCountMax)
            let count = fread(&bytes, 1, byteCountMax, file)
            if count > 0 { return Array(bytes.prefix(count)) }
        }
        logger.warning("pages have no charts: install libjs-chart.js", ["path": paths[0]])
        return nil
    }
}
