// SPDX-License-Identifier: Apache-2.0

extension Pages {
    static let html = PackageResources.index_html

    /// The files beside the document, by their names.
    static let files: [String: [UInt8]] = [
        "api.js": PackageResources.api_js,
        "app.js": PackageResources.app_js,
        "credit-user.js": PackageResources.credit_user_js,
        "dialog.js": PackageResources.dialog_js,
        "dom.js": PackageResources.dom_js,
        "en.js": PackageResources.en_js,
        "format.js": PackageResources.format_js,
        "i18n.js": PackageResources.i18n_js,
        "icon.svg": PackageResources.icon_svg,
        "page-alerts.js": PackageResources.page_alerts_js,
        "page-audit.js": PackageResources.page_audit_js,
        "page-credits.js": PackageResources.page_credits_js,
        "page-keys.js": PackageResources.page_keys_js,
        "page-limits.js": PackageResources.page_limits_js,
        "page-live.js": PackageResources.page_live_js,
        "page-signin.js": PackageResources.page_signin_js,
        "page-usage.js": PackageResources.page_usage_js,
        "page-users.js": PackageResources.page_users_js,
        "page-workspace.js": PackageResources.page_workspace_js,
        "people.js": PackageResources.people_js,
        "plots.js": PackageResources.plots_js,
        "rules.js": PackageResources.rules_js,
        "stream.js": PackageResources.stream_js,
        "style.css": PackageResources.style_css,
        "table.js": PackageResources.table_js,
        "tiles.js": PackageResources.tiles_js,
        "user-dialogs.js": PackageResources.user_dialogs_js,
        "vi.js": PackageResources.vi_js,
        "vi-problems.js": PackageResources.vi_problems_js,
    ]
}
