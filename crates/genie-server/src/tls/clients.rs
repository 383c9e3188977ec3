//! Which certificates of clients are let in: those of the authorities that
//! these have not called back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::TlsError;
use super::lists::{Lists, Version, written};

/// Judges the certificates of clients.
#[derive(Debug)]
pub(super) struct Clients {
    roots: Arc<RootCertStore>,
    /// The names of the authorities, which clients choose a certificate by.
    hints: Vec<DistinguishedName>,
    lists: Option<PathBuf>,
    current: RwLock<Arc<Judge>>,
    told: Mutex<Told>,
}

/// What judges until the lists are renewed.
#[derive(Debug)]
struct Judge {
    /// Of those of one file, counted from one.
    number: u64,
    verifier: Arc<dyn ClientCertVerifier>,
    /// When the lists end, where there are any; from then on it lets nobody in.
    end: Option<UnixTime>,
}

/// What of the file of lists was looked at and reported, so that nothing is
/// said every few seconds.
#[derive(Debug)]
struct Told {
    version: Option<Version>,
    ended: bool,
}

/// What a client has shown of itself when it greeted.
#[derive(Debug)]
pub(super) struct Shown {
    /// Its own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// The number of the judge that let it in last.
    judged: AtomicU64,
}

impl Shown {
    pub(super) fn new(chain: &[CertificateDer<'_>]) -> Self {
        Self {
            chain: chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
            judged: AtomicU64::new(0),
        }
    }
}

impl Clients {
    /// Those of the authorities in one PEM file, but not those that the lists
    /// in another one name.
    pub(super) fn load(authorities: &Path, lists: Option<&Path>) -> Result<Self, TlsError> {
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| TlsError::File {
            path: authorities.to_owned(),
            what: "authority of clients",
            source: error,
        };
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(authorities)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(Box::new(error)))?;
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| unusable(Box::new(error)))?;
        }
        let roots = Arc::new(roots);
        // Fails where there is no authority.
        let open = verifier(&roots, Vec::new()).map_err(|error| unusable(Box::new(error)))?;
        let hints = open.root_hint_subjects().to_vec();
        // Looked at before it is read: what is written between is read again.
        let version = lists.and_then(Version::of);
        let current = match lists {
            None => Judge {
                number: 1,
                verifier: open,
                end: None,
            },
            Some(lists) => judge(&roots, lists, 1)?,
        };
        Ok(Self {
            roots,
            hints,
            lists: lists.map(Path::to_owned),
            current: RwLock::new(Arc::new(current)),
            told: Mutex::new(Told {
                version,
                ended: false,
            }),
        })
    }

    /// Takes renewed lists into use. Such as can't be used leave the earlier
    /// ones in their place, which let nobody in once they have ended.
    pub(super) fn reload(&self) {
        let Some(lists) = &self.lists else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.current();
        let version = Version::of(lists);
        if version != told.version {
            told.version = version;
            match judge(&self.roots, lists, known.number + 1) {
                Ok(judge) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(judge);
                    told.ended = false;
                    tracing::info!(file = %lists.display(), "renewed revocation lists are in use");
                }
                Err(error) => {
                    let reason = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, reason, "the renewed revocation lists can't be used; the earlier ones stay until they end");
                }
            }
        }
        if let Some(end) = self.current().end
            && !told.ended
            && UnixTime::now() >= end
        {
            told.ended = true;
            let (file, end) = (lists.display(), written(end));
            tracing::error!(%file, %end, "a revocation list has ended: no certificate of its authority is let in until a newer one is in the file");
        }
    }

    /// Whether one who was let in when it greeted would be now, by the lists
    /// that there are now.
    pub(super) fn still_let_in(&self, shown: &Shown, now: UnixTime) -> bool {
        let judge = self.current();
        let Some(end) = judge.end else { return true };
        if now < end && shown.judged.load(Ordering::Relaxed) == judge.number {
            return true;
        }
        let Some((own, between)) = shown.chain.split_first() else {
            return false;
        };
        let let_in = judge.verifier.verify_client_cert(own, between, now).is_ok();
        if let_in {
            shown.judged.store(judge.number, Ordering::Relaxed);
        }
        let_in
    }

    fn current(&self) -> Arc<Judge> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn judge(roots: &Arc<RootCertStore>, file: &Path, number: u64) -> Result<Judge, TlsError> {
    let lists = Lists::read(file, UnixTime::now())?;
    let verifier = verifier(roots, lists.all).map_err(|error| TlsError::File {
        path: file.to_owned(),
        what: "revocation list",
        source: Box::new(error),
    })?;
    Ok(Judge {
        number,
        verifier,
        end: Some(lists.end),
    })
}

/// With lists, a certificate is let in only where each authority between it and
/// those that are trusted has one, that one has not ended, and it does not name
/// the certificate that it issued.
fn verifier(
    roots: &Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
        .with_crls(lists)
        .enforce_revocation_expiration()
        .allow_unauthenticated()
        .build()?;
    Ok(verifier)
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.current()
            .verifier
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current()
            .verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current()
            .verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
