# SPDX-License-Identifier: Apache-2.0
"""Writes docs/http-api.md from the OpenAPI document: scripts/openapi calls it."""

import json
import re

INTRODUCTION = """<!-- Made by scripts/openapi from docs/openapi: change those. -->

# HTTP API

The service tells the same as OpenAPI 3.1 at `/openapi.json`, with every bound and every code.

{}
Of problems the statuses are named, with their codes where these are a route's own; these come
from every route that takes a key:

| status | code |
|---|---|
| 400 | {query} |
| 401 | `unauthorized`; with `WWW-Authenticate` |
| 403 | `forbidden`: the role is another, or an end user asks for what is not its own; `guest_merged`: the guest has become a user, who has to sign in; `cross_site`: a change with the cookie of a session came from elsewhere |
| 404 | `workspace_not_found`: the operator named none that there is |
| 409 | `other_session`: somebody else than the page shows is signed in in its browser (`X-Tally-Session`) |
| 411, 413, 415 | the body has no length, is too long, or is of another type |
| 429 | `too_many_attempts`: too many unknown keys came from this address; `too_many_requests`: too many requests of guests did |
| 503 | `backend_unavailable`: Redis does not answer, and nothing was done; `outcome_unknown`: it was asked and did not say what became of it, so that sending it again is safe with an id only; `storage_full`, `storage_failed`, `storage_out_of_memory`: Redis can store nothing, and nothing was done (of many events in one request: not all, as its text says; sent again with the same ids, none counts twice); `data_conflict`: it holds what Tally did not write. All with `Retry-After` |

"""
QUERY = ["unknown_parameter", "duplicate_parameter", "invalid_parameter"]
UNAVAILABLE = ["backend_unavailable", "outcome_unknown", "storage_full", "storage_failed", "storage_out_of_memory", "data_conflict"]
JSON_CODES = [
    "invalid_json", "invalid_encoding", "duplicate_key", "too_deep", "invalid_number", "string_too_long",
    "too_many_fields", "invalid_string"]
COMMON = {*QUERY, *JSON_CODES, "unauthorized", "workspace_not_found", "other_session", "length_required", "body_too_large",
          "unsupported_media_type", "too_many_attempts", "too_many_requests", *UNAVAILABLE, "invalid_uri", "uri_too_long", "headers_too_large"}
COMMON_FORBIDDEN = {"forbidden", "guest_merged", "cross_site"}
EXACT = 9007199254740991


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ").strip()


def number(value):
    names = {EXACT: "2^53 − 1", -EXACT: "−(2^53 − 1)"}
    return names.get(value, str(value).replace("-", "−"))


def link(reference):
    name = reference.rsplit("/", 1)[1]
    return f"[{name}](#{name.lower()})"


def literal(value):
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def kind(schema):
    """What a value is, in few words."""
    if schema in (True, {}):
        return "anything"
    if "$ref" in schema:
        return link(schema["$ref"])
    if "anyOf" in schema and "type" not in schema:
        return " or ".join(dict.fromkeys(kind(part) for part in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(literal(value) for value in schema["enum"])
    if "const" in schema:
        return literal(schema["const"])
    types = schema.get("type", "object" if "properties" in schema else "anything")
    types = [types] if isinstance(types, str) else types
    text = " or ".join(types)
    if "array" in types:
        text = text.replace("array", f"array of {kind(schema.get('items', {}))}")
    if "object" in types and isinstance(schema.get("additionalProperties"), dict):
        text = text.replace("object", f"object of {kind(schema['additionalProperties'])}")
    if "format" in schema:
        text = text.replace("string", schema["format"])
    return text + bounds(schema)


def bounds(schema):
    low, high = schema.get("minimum"), schema.get("maximum")
    text = ""
    if low is not None and high is not None:
        text = f", {number(low)} to {number(high)}"
    elif low is not None:
        text = f", at least {number(low)}"
    for name, unit in (("maxLength", "long"), ("maxItems", "of them")):
        if schema.get(name):
            text += f", at most {schema[name]} {unit}"
    return text


def default_of(schema):
    return f" Default {literal(schema['default'])}." if "default" in schema else ""


def members(schema, prefix=""):
    """Rows of an object's members, those of objects inside it below them."""
    for name, part in schema.get("properties", {}).items():
        if part is False:
            continue
        is_required = name in schema.get("required", [])
        default = default_of(part)
        text = cell(part.get("description", "") + default)
        yield f"| `{prefix}{name}`{' *' if is_required else ''} | {cell(kind(part))} | {text} |"
        inner = part
        suffix = "."
        while inner.get("type") == "array" and isinstance(inner.get("items"), dict):
            inner, suffix = inner["items"], "[]" + suffix
        if "$ref" not in inner:
            yield from members(inner, f"{prefix}{name}{suffix}")


def table(schema):
    rows = list(members(schema))
    return ["| member | type | |", "|---|---|---|", *rows, ""] if rows else []


def codes(schema):
    """The codes that a problem may have."""
    if "anyOf" in schema:
        return [code for part in schema["anyOf"] for code in codes(part)]
    code = schema.get("properties", {}).get("code", {})
    return code.get("enum", [code["const"]] if "const" in code else [])


def body_lines(content):
    for type_, part in content.items():
        schema = part["schema"]
        what = kind(schema) if "properties" not in schema else "an object"
        text = f": {schema['description']}" if "description" in schema and "$ref" not in schema else f", {what}"
        yield f"Body `{type_}`{text}"
        yield ""
        yield from table(schema if "items" not in schema else schema["items"])
        if "example" in part:
            example = part["example"]
            text = example.strip() if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
            yield from ["```json", text, "```", ""]


def answer_lines(operation):
    problems = []
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if "$ref" in answer:
            continue
        if "application/problem+json" in content:
            own = [code for code in codes(content["application/problem+json"]["schema"]) if code not in COMMON]
            if status != "403" and own or set(own) - COMMON_FORBIDDEN:
                problems.append(f"{status} " + ", ".join(f"`{code}`" for code in own))
            continue
        yield f"**{status}** {answer['description']}"
        headers = [name for name in answer.get("headers", {})]
        if headers:
            yield "Headers: " + ", ".join(f"`{name}`" for name in headers) + "."
        for type_, part in content.items():
            schema = part["schema"]
            inner = schema.get("items", schema)
            if type_ != "application/json" or "properties" not in inner:
                yield f"`{type_}`, {kind(schema)}."
            yield ""
            yield from table(inner if "$ref" not in inner else {})
            if "example" in part:
                yield from ["```json", json.dumps(part["example"], ensure_ascii=False), "```", ""]
        yield ""
    if problems:
        yield "Problems: " + "; ".join(problems) + "."
        yield ""


def operation_lines(path, method, operation):
    yield f"### {method.upper()} {path}"
    yield ""
    yield operation["summary"] + ". " + operation.get("description", "")
    yield ""
    access = operation["x-access"]
    who = "an end user or a guest" if "guest" in access else "a key of an end user"
    own = f" It takes {who}: others have nothing of their own." if operation.get("x-own") else ""
    yield "For everybody." if not access else "Roles: " + ", ".join(access) + "." + own
    yield ""
    parameters = operation.get("parameters", [])
    if parameters:
        yield from ["| parameter | in | type | |", "|---|---|---|---|"]
        for part in parameters:
            schema = part["schema"]
            text = part.get("description", schema.get("description", ""))
            default = default_of(schema)
            star = " *" if part.get("required") else ""
            yield f"| `{part['name']}`{star} | {part['in']} | {cell(kind(schema))} | {cell(text + default)} |"
        yield ""
    yield from body_lines(operation.get("requestBody", {}).get("content", {}))
    yield from answer_lines(operation)


def reference(document):
    """The document as Markdown."""
    text = INTRODUCTION.replace("{query}", ", ".join(f"`{code}`" for code in QUERY) + "; of JSON "
                                + ", ".join(f"`{code}`" for code in JSON_CODES))
    out = [text.replace("{}", document["info"]["description"]), "A star marks what is required.", ""]
    for tag in document["tags"]:
        out += [f"## {tag['name'].capitalize()}", "", tag["description"], ""]
        for path, item in document["paths"].items():
            seen = set()
            for method, operation in item.items():
                # The same for several methods is told once.
                name = operation["operationId"].removesuffix(method.capitalize())
                if operation["tags"] == [tag["name"]] and name not in seen:
                    seen.add(name)
                    same = [other for other, one in item.items()
                            if one["operationId"].removesuffix(other.capitalize()) == name]
                    out += operation_lines(path, ", ".join(same), operation)
    out += ["## Types", ""]
    for name, schema in document["components"]["schemas"].items():
        out += [f"### {name}", ""]
        if "description" in schema:
            out += [schema["description"], ""]
        rows = table(schema)
        out += rows or [kind(schema) + ".", ""]
    text = "\n".join(line.rstrip() for line in out)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"
