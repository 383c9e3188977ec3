//! Which addresses may be fetched.

use std::net::IpAddr;

use axum::http::Uri;

/// Whether what is sent there can't be read on the way: `https`, or `http` to
/// this machine.
pub(super) fn is_private(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    if authority.as_str().contains('@') || address.contains('#') {
        return false;
    }
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(authority.host()),
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_private() {
        for good in [
            "https://id.example.org/realms/gov",
            "https://10.0.0.7:8443",
            "http://localhost:8180/x",
            "http://127.0.0.1:1",
            "http://[::1]:8180",
        ] {
            assert!(is_private(good), "{good}");
        }
        for bad in [
            "http://id.example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org/",
            "https://user:secret@id.example.org",
            "http://127.0.0.1@id.example.org",
            "https://id.example.org/#x",
            "file:///etc/passwd",
            "ftp://id.example.org",
            "/relative",
            "id.example.org",
            "",
        ] {
            assert!(!is_private(bad), "{bad}");
        }
    }
}
