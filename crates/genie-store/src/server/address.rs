//! Where a server listens.

use genie_core::StoreError;
use url::Url;

const HTTP: u16 = 6333;
const GRPC: u16 = 6334;

/// The two addresses of a Qdrant server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// For everything but snapshots.
    pub(crate) grpc: String,
    /// For downloads of snapshots, without a slash at its end.
    pub(crate) http: String,
}

/// A URL that names no server.
#[derive(Debug, thiserror::Error)]
enum BadUrl {
    #[error("{0:?} is no URL such as http://localhost:6334")]
    Syntax(String, #[source] url::ParseError),
    #[error("{0:?} must begin with http:// or https:// and name a host")]
    Scheme(String),
}

impl Addresses {
    pub(crate) fn of(text: &str) -> Result<Self, StoreError> {
        parse(text).map_err(|error| StoreError::Unreachable {
            url: text.to_owned(),
            source: Box::new(error),
        })
    }
}

fn parse(text: &str) -> Result<Addresses, BadUrl> {
    let url = Url::parse(text).map_err(|error| BadUrl::Syntax(text.to_owned(), error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(BadUrl::Scheme(text.to_owned()));
    }
    let (grpc, http) = match url.port() {
        None | Some(HTTP | GRPC) => (GRPC, HTTP),
        Some(port) => (port, port.saturating_sub(1)),
    };
    let with_port = |port| {
        let mut url = url.clone();
        // Can't fail: the URL has a host.
        let _ = url.set_port(Some(port));
        url.as_str().trim_end_matches('/').to_owned()
    };
    Ok(Addresses {
        grpc: with_port(grpc),
        http: with_port(http),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_port_names_the_same_server() {
        let expected = Addresses {
            grpc: "http://localhost:6334".to_owned(),
            http: "http://localhost:6333".to_owned(),
        };
        for url in [
            "http://localhost",
            "http://localhost:6333/",
            "http://localhost:6334",
        ] {
            assert_eq!(parse(url).expect("a URL"), expected, "{url}");
        }
        let other = parse("https://search.example:7001").expect("a URL");
        assert_eq!(other.grpc, "https://search.example:7001");
        assert_eq!(other.http, "https://search.example:7000");
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for url in ["", "localhost:6334", "ftp://localhost", "http://"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
