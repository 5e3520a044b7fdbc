// SPDX-License-Identifier: Apache-2.0

extension Pages {
    static let html = PackageResources.index_html

    /// The files beside the document, by their names.
    static let files: [String: [UInt8]] = [
        "app.js": PackageResources.app_js,
        "icon.svg": PackageResources.icon_svg,
        "style.css": PackageResources.style_css,
    ]
}
