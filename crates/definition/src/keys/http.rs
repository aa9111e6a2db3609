//! The keys of HTTP resources and steps.

use super::{ANY_OBJECT, Key, Object, Shape, TEXT_MAP, key};

/// A service.
pub(crate) const RESOURCE: &[Key] = &[
    key("base_url", Shape::Text, "what every address begins with, like `https://host/v1`").needed(),
    key("auth", Shape::Object(&AUTH), "how requests say who sends them"),
    key("headers", TEXTS_OR_SECRETS, "headers of every request"),
    key("query", TEXTS_OR_SECRETS, "parameters of every request's query"),
    key("timeout", Shape::Duration, "how long one request may take").or("\"60s\""),
];

const TEXTS_OR_SECRETS: Shape = Shape::Map(&Shape::Either(&[Shape::Text, Shape::Object(&SECRET)]));

/// A reference to a secret.
pub(crate) const SECRET: Object = Object {
    name: "secret",
    says: "A secret, which the server's environment holds",
    one_of: &[],
    keys: &[&[SECRET_NAME]],
};

/// The name of a secret.
pub(crate) const SECRET_NAME: Key = key("secret", Shape::Text, "the secret's name").needed();

/// How requests say who sends them.
pub(crate) const AUTH: Object = Object {
    name: "http_auth",
    says: "How requests say who sends them: one of its keys",
    one_of: &["bearer", "basic", "jwt"],
    keys: &[&[
        key("bearer", Shape::Object(&SECRET), "a token"),
        key("basic", Shape::Object(&BASIC), "a name and a password"),
        key("jwt", Shape::Object(&JWT), "a token signed for each request, with HS256"),
    ]],
};

/// A name and a password.
pub(crate) const BASIC: Object = Object {
    name: "http_basic",
    says: "A name and a password",
    one_of: &[],
    keys: &[&[
        key("user", Shape::Text, "the name").needed(),
        key("password", Shape::Object(&SECRET), "the password").needed(),
    ]],
};

/// A signed token.
pub(crate) const JWT: Object = Object {
    name: "http_jwt",
    says: "A token signed for each request, with HS256",
    one_of: &[],
    keys: &[&[
        SECRET_NAME,
        key("claims", ANY_OBJECT, "what it claims, beside `iat` and `exp`"),
        key("ttl", Shape::Duration, "how long it is valid").or("\"5m\""),
    ]],
};

/// A step.
pub(crate) const STEP: &[Key] = &[
    key("resource", Shape::Text, "the service: a resource of kind `http`").needed(),
    key("request", Shape::Object(&REQUEST), "what is asked"),
    key("retry_while", Shape::Object(&RETRY_WHILE), "the answer that means \"not ready yet\""),
    key(
        "paginate",
        Shape::Either(&[Shape::Words(&["link"]), Shape::Object(&PAGINATE)]),
        "how further pages are asked for",
    ),
    key("rows", Shape::Text, "where the rows are in an answer, as a JSON pointer"),
    key(
        "max_response",
        Shape::Either(&[Shape::Text, Shape::Whole(1, 256 << 20)]),
        "the largest answer, up to 256 MiB",
    )
    .or("\"16 MiB\""),
];

/// What is asked.
pub(crate) const REQUEST: Object = Object {
    name: "http_request",
    says: "What is asked of a service",
    one_of: &[],
    keys: &[&[
        key(
            "method",
            Shape::Words(&["GET", "POST", "PUT", "PATCH", "DELETE"]),
            "what is done to the address",
        )
        .or("\"GET\""),
        key("path", Shape::Text, "what follows the resource's `base_url`"),
        key("query", TEXT_MAP, "parameters of the query"),
        key("headers", TEXT_MAP, "headers"),
        key("json", Shape::Any, "a JSON value to send"),
        key("form", TEXT_MAP, "fields of a form to send"),
        key("text", Shape::Text, "text to send"),
    ]],
};

/// When the same is asked again.
pub(crate) const RETRY_WHILE: Object = Object {
    name: "http_retry_while",
    says: "The answer that means \"not ready yet\", and how the waiting goes",
    one_of: &[],
    keys: &[&[
        key("status", Shape::Whole(100, 599), "its status"),
        key("json", Shape::Any, "what its JSON holds, further keys of objects aside"),
        key("every", Shape::Duration, "the wait before the same is asked again").or("\"1s\""),
        key("backoff", Shape::Words(&["constant", "linear", "exponential"]), "how the wait grows")
            .or("\"constant\""),
        key("max_time", Shape::Duration, "how long the answer may be not ready"),
    ]],
};

/// How further pages are asked for.
pub(crate) const PAGINATE: Object = Object {
    name: "http_paginate",
    says: "How further pages are asked for",
    one_of: &[],
    keys: &[PAGES, PAGES_BY_NUMBER, PAGES_BY_CURSOR],
};

/// The keys of all pages.
pub(crate) const PAGES: &[Key] = &[
    key("by", Shape::Words(&["page", "cursor", "link"]), "where the next page is said to be")
        .needed(),
    key("max_pages", Shape::Whole(1, 100_000), "the most pages").or("1000"),
];

const PARAM: Key = key("param", Shape::Text, "the parameter with the page's number, or the cursor");

/// The further keys of pages with numbers.
pub(crate) const PAGES_BY_NUMBER: &[Key] = &[
    PARAM,
    key("start", Shape::Whole(0, u32::MAX), "the first number").or("1"),
    key("size", Shape::Whole(1, u32::MAX), "how many rows a full page has"),
    key("size_param", Shape::Text, "the parameter with the size"),
];

/// The further keys of pages that name the next one.
pub(crate) const PAGES_BY_CURSOR: &[Key] = &[
    PARAM,
    key("next", Shape::Text, "where an answer names the next page, as a JSON pointer"),
    key("body", Shape::Text, "where the next request's JSON holds the cursor, as a JSON pointer"),
];
