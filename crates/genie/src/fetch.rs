//! Documents of an identity provider, over HTTP.

use std::time::Duration;

use genie_server::{Fetch, FetchError};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// A request that takes longer would keep whoever signs in waiting.
const LIMIT: Duration = Duration::from_secs(5);

/// A client that trusts what this machine trusts and follows nobody elsewhere.
pub(crate) struct HttpFetch(Agent);

impl HttpFetch {
    pub(crate) fn new() -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let config = Agent::config_builder()
            .timeout_global(Some(LIMIT))
            // The addresses are the configured one and the one that stands
            // behind it; a third would be somebody else's.
            .max_redirects(0)
            .user_agent(concat!("genie/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        Self(config.build().into())
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, address: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let is_plain = address.starts_with("http://");
        let mut request = self.0.get(address).config().https_only(!is_plain);
        if is_plain {
            // This machine's own; a proxy is for others.
            request = request.proxy(None);
        }
        let mut response = request
            .build()
            .header("Accept", "application/json")
            .call()?;
        // A redirect that is not followed comes as it is.
        if response.status() != 200 {
            return Err(format!("the answer is {}", response.status()).into());
        }
        let limit = u64::try_from(limit)?;
        Ok(response
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_vec()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with this.
    fn answering(reply: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            // Whoever has read enough has left.
            let _ = connection.write_all(reply.as_bytes());
        });
        format!("http://{address}/document")
    }

    fn reply(status: &str, head: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    #[test]
    fn a_document_is_fetched_within_its_limit() {
        let fetch = HttpFetch::new();
        let good = answering(reply("200 OK", "", "{}"));
        assert_eq!(fetch.fetch(&good, 1000).unwrap(), b"{}");
        let long = answering(reply("200 OK", "", &"x".repeat(1001)));
        assert!(fetch.fetch(&long, 1000).is_err());
        // Without a length it ends where the connection does.
        let endless = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
            "x".repeat(5000)
        );
        assert!(fetch.fetch(&answering(endless), 1000).is_err());
    }

    #[test]
    fn errors_and_redirects_are_no_documents() {
        let fetch = HttpFetch::new();
        for status in ["404 Not Found", "500 Internal Server Error"] {
            let address = answering(reply(status, "", "{}"));
            assert!(fetch.fetch(&address, 1000).is_err(), "{status}");
        }
        let elsewhere = answering(reply("200 OK", "", "{}"));
        let location = format!("Location: {elsewhere}\r\n");
        let address = answering(reply("302 Found", &location, "{}"));
        assert!(fetch.fetch(&address, 1000).is_err());
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", closed.local_addr().unwrap());
        drop(closed);
        assert!(fetch.fetch(&address, 1000).is_err());
    }
}
