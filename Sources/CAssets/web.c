// SPDX-License-Identifier: Apache-2.0

#include "assets.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char api_js[] = {
#embed "../../web/api.js"
};
static const unsigned char app_js[] = {
#embed "../../web/app.js"
};
static const unsigned char asked_js[] = {
#embed "../../web/asked.js"
};
static const unsigned char credit_tables_js[] = {
#embed "../../web/credit-tables.js"
};
static const unsigned char credit_user_js[] = {
#embed "../../web/credit-user.js"
};
static const unsigned char dialog_js[] = {
#embed "../../web/dialog.js"
};
static const unsigned char dom_js[] = {
#embed "../../web/dom.js"
};
static const unsigned char en_js[] = {
#embed "../../web/en.js"
};
static const unsigned char format_js[] = {
#embed "../../web/format.js"
};
static const unsigned char i18n_js[] = {
#embed "../../web/i18n.js"
};
static const unsigned char icon_svg[] = {
#embed "../../web/icon.svg"
};
static const unsigned char index_html[] = {
#embed "../../web/index.html"
};
static const unsigned char page_alerts_js[] = {
#embed "../../web/page-alerts.js"
};
static const unsigned char page_audit_js[] = {
#embed "../../web/page-audit.js"
};
static const unsigned char page_credits_js[] = {
#embed "../../web/page-credits.js"
};
static const unsigned char page_keys_js[] = {
#embed "../../web/page-keys.js"
};
static const unsigned char page_limits_js[] = {
#embed "../../web/page-limits.js"
};
static const unsigned char page_live_js[] = {
#embed "../../web/page-live.js"
};
static const unsigned char page_signin_js[] = {
#embed "../../web/page-signin.js"
};
static const unsigned char page_usage_js[] = {
#embed "../../web/page-usage.js"
};
static const unsigned char page_users_js[] = {
#embed "../../web/page-users.js"
};
static const unsigned char page_workspace_js[] = {
#embed "../../web/page-workspace.js"
};
static const unsigned char people_js[] = {
#embed "../../web/people.js"
};
static const unsigned char period_js[] = {
#embed "../../web/period.js"
};
static const unsigned char plots_js[] = {
#embed "../../web/plots.js"
};
static const unsigned char rules_js[] = {
#embed "../../web/rules.js"
};
static const unsigned char store_js[] = {
#embed "../../web/store.js"
};
static const unsigned char stream_js[] = {
#embed "../../web/stream.js"
};
static const unsigned char style_css[] = {
#embed "../../web/style.css"
};
static const unsigned char table_js[] = {
#embed "../../web/table.js"
};
static const unsigned char tiles_js[] = {
#embed "../../web/tiles.js"
};
static const unsigned char user_dialogs_js[] = {
#embed "../../web/user-dialogs.js"
};
static const unsigned char vi_problems_js[] = {
#embed "../../web/vi-problems.js"
};
static const unsigned char vi_js[] = {
#embed "../../web/vi.js"
};

#define ASSET(name, bytes) {name, bytes, sizeof bytes}

static const struct tally_asset files[] = {
  ASSET("api.js", api_js),
  ASSET("app.js", app_js),
  ASSET("asked.js", asked_js),
  ASSET("credit-tables.js", credit_tables_js),
  ASSET("credit-user.js", credit_user_js),
  ASSET("dialog.js", dialog_js),
  ASSET("dom.js", dom_js),
  ASSET("en.js", en_js),
  ASSET("format.js", format_js),
  ASSET("i18n.js", i18n_js),
  ASSET("icon.svg", icon_svg),
  ASSET("index.html", index_html),
  ASSET("page-alerts.js", page_alerts_js),
  ASSET("page-audit.js", page_audit_js),
  ASSET("page-credits.js", page_credits_js),
  ASSET("page-keys.js", page_keys_js),
  ASSET("page-limits.js", page_limits_js),
  ASSET("page-live.js", page_live_js),
  ASSET("page-signin.js", page_signin_js),
  ASSET("page-usage.js", page_usage_js),
  ASSET("page-users.js", page_users_js),
  ASSET("page-workspace.js", page_workspace_js),
  ASSET("people.js", people_js),
  ASSET("period.js", period_js),
  ASSET("plots.js", plots_js),
  ASSET("rules.js", rules_js),
  ASSET("store.js", store_js),
  ASSET("stream.js", stream_js),
  ASSET("style.css", style_css),
  ASSET("table.js", table_js),
  ASSET("tiles.js", tiles_js),
  ASSET("user-dialogs.js", user_dialogs_js),
  ASSET("vi-problems.js", vi_problems_js),
  ASSET("vi.js", vi_js),
  {NULL, index_html, 0},
};

const struct tally_asset *tally_web(void) { return files; }
