//! The one small page. Everything it needs is in the program, and its policy
//! lets it load and reach nothing else.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub(crate) async fn index() -> Response {
    embedded(
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    )
}

pub(crate) async fn script() -> Response {
    embedded(
        "text/javascript; charset=utf-8",
        include_str!("../page/app.js"),
    )
}

pub(crate) async fn style() -> Response {
    embedded("text/css; charset=utf-8", include_str!("../page/style.css"))
}

pub(crate) async fn icon() -> Response {
    embedded("image/svg+xml", include_str!("../page/icon.svg"))
}

fn embedded(content_type: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            // Cheap to fetch from this machine, and never of an older version.
            (header::CACHE_CONTROL, "no-cache"),
        ],
        text,
    )
        .into_response()
}
