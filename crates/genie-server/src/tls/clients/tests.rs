//! Lists as authorities make them, and files as they should not be.

#![allow(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

use std::fs::File;
use std::slice;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn named(name: &str) -> CertificateParams {
    let mut made = CertificateParams::new(Vec::new()).unwrap();
    made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    made.distinguished_name
        .push(rcgen::DnType::CommonName, name);
    made
}

fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(named(name), KeyPair::generate().unwrap()).unwrap()
}

fn issued(authority: &Authority, number: u64) -> CertificateDer<'static> {
    let mut made = CertificateParams::new(vec!["ss1.gov.example".to_owned()]).unwrap();
    made.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    made.serial_number = Some(SerialNumber::from(number));
    let key = KeyPair::generate().unwrap();
    made.signed_by(&key, authority).unwrap().der().clone()
}

/// A list of the years from one to another, which names these numbers.
fn list(authority: &Authority, years: [i32; 2], called_back: &[u64]) -> String {
    let [begin, end] = years.map(|year| date_time_ymd(year, 1, 1));
    let revoked = called_back.iter().map(|number| RevokedCertParams {
        serial_number: SerialNumber::from(*number),
        revocation_time: begin,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: begin,
        next_update: end,
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).unwrap().pem().unwrap()
}

const LONG: [i32; 2] = [2024, 2999];

/// Writes the file so that its time differs from that of all before.
fn write(path: &Path, text: &str, version: u64) {
    std::fs::write(path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + version);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn lets_in(clients: &Clients, chain: &[&CertificateDer<'static>]) -> bool {
    let between: Vec<_> = chain[1..].iter().copied().cloned().collect();
    let verified = clients.verify_client_cert(chain[0], &between, UnixTime::now());
    verified.is_ok()
}

struct Files {
    _folder: tempfile::TempDir,
    roots: PathBuf,
    lists: PathBuf,
}

impl Files {
    fn of(authorities: &[&Authority]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [roots, lists] = ["clients.pem", "lists.pem"].map(|name| folder.path().join(name));
        let all: Vec<String> = authorities
            .iter()
            .map(|authority| authority.pem())
            .collect();
        std::fs::write(&roots, all.concat()).unwrap();
        Self {
            _folder: folder,
            roots,
            lists,
        }
    }

    fn load(&self) -> Result<Clients, TlsError> {
        Clients::load(&self.roots, Some(&self.lists))
    }
}

#[test]
fn a_certificate_that_was_called_back_is_not_let_in() {
    let (one, other) = (authority("one"), authority("other"));
    let files = Files::of(&[&one, &other]);
    let (stays, goes) = (issued(&one, 7), issued(&one, 8));
    let of_other = issued(&other, 8);
    let without = Clients::load(&files.roots, None).unwrap();
    for certificate in [&stays, &goes, &of_other] {
        assert!(lets_in(&without, &[certificate]));
    }
    without.reload();

    write(&files.lists, &list(&one, LONG, &[]), 1);
    let clients = files.load().unwrap();
    assert!(lets_in(&clients, &[&stays]) && lets_in(&clients, &[&goes]));
    assert!(!lets_in(&clients, &[&of_other]), "nobody knows of it");
    assert_eq!(clients.root_hint_subjects().len(), 2);
    let (open, cut) = (
        Shown::new(slice::from_ref(&stays)),
        Shown::new(slice::from_ref(&goes)),
    );
    let still = |shown: &Shown| clients.still_let_in(shown, UnixTime::now());
    assert!(still(&open) && still(&cut));

    let both = list(&one, LONG, &[8]) + &list(&other, LONG, &[]);
    write(&files.lists, &both, 2);
    clients.reload();
    assert!(lets_in(&clients, &[&stays]) && lets_in(&clients, &[&of_other]));
    assert!(!lets_in(&clients, &[&goes]));
    // Connections that were open before, too.
    assert!(still(&open) && !still(&cut) && !still(&cut));
    // What can't be used changes nothing.
    let ended = list(&one, [2020, 2021], &[]);
    let whole = both.split_at(both.len() / 2).0;
    for (version, text) in (3..).zip(["", "no list", &one.pem(), &ended, whole]) {
        write(&files.lists, text, version);
        clients.reload();
        assert!(lets_in(&clients, &[&stays]) && !lets_in(&clients, &[&goes]));
    }
    std::fs::remove_file(&files.lists).unwrap();
    clients.reload();
    assert!(!lets_in(&clients, &[&goes]));
}

#[test]
fn lists_that_have_ended_let_nobody_in() {
    let one = authority("one");
    let files = Files::of(&[&one]);
    write(&files.lists, &list(&one, LONG, &[]), 1);
    let clients = files.load().unwrap();
    let certificate = issued(&one, 7);
    let shown = Shown::new(slice::from_ref(&certificate));
    // The certificate is valid until 4096, as rcgen makes them.
    let seconds = |year: u64| Duration::from_secs((year - 1970) * 31_556_952);
    for (year, expected) in [(2990, true), (3001, false), (2990, true)] {
        let now = UnixTime::since_unix_epoch(seconds(year));
        let verified = clients.verify_client_cert(&certificate, &[], now);
        assert_eq!(verified.is_ok(), expected, "{year}: {verified:?}");
        assert_eq!(clients.still_let_in(&shown, now), expected, "{year}");
    }
}

#[test]
fn of_two_lists_of_an_authority_the_newer_one_counts() {
    let one = authority("one");
    let files = Files::of(&[&one]);
    let (old, new) = (list(&one, LONG, &[]), list(&one, [2025, 2999], &[8]));
    for text in [old.clone() + &new, new + &old] {
        std::fs::write(&files.lists, text).unwrap();
        let clients = files.load().unwrap();
        assert!(lets_in(&clients, &[&issued(&one, 7)]));
        assert!(!lets_in(&clients, &[&issued(&one, 8)]));
    }
}

#[test]
fn an_authority_in_between_can_be_called_back() {
    let root = authority("root");
    let mut made = named("between");
    made.serial_number = Some(SerialNumber::from(5_u64));
    let between = CertifiedIssuer::signed_by(made, KeyPair::generate().unwrap(), &root).unwrap();
    let files = Files::of(&[&root]);
    let certificate = issued(&between, 7);
    let chain = [&certificate, between.der()];
    let lets_in = |lists: &[String]| {
        std::fs::write(&files.lists, lists.concat()).unwrap();
        lets_in(&files.load().unwrap(), &chain)
    };
    let of_between = list(&between, LONG, &[]);
    assert!(lets_in(&[of_between.clone(), list(&root, LONG, &[])]));
    assert!(!lets_in(&[of_between.clone(), list(&root, LONG, &[5])]));
    assert!(!lets_in(&[of_between]), "the root has no list");
}

#[test]
fn a_list_of_somebody_else_with_the_name_says_nothing() {
    let (one, impostor) = (authority("one"), authority("one"));
    let files = Files::of(&[&one]);
    std::fs::write(&files.lists, list(&impostor, LONG, &[])).unwrap();
    assert!(!lets_in(&files.load().unwrap(), &[&issued(&one, 7)]));
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let one = authority("one");
    let files = Files::of(&[&one]);
    let check = |expected: &[&str]| {
        let error = files.load().unwrap_err().to_string();
        for part in [&["lists.pem"], expected].concat() {
            assert!(error.contains(part), "{error}");
        }
    };
    check(&["revocation list"]);
    for text in ["", "no list", &one.pem()] {
        std::fs::write(&files.lists, text).unwrap();
        check(&["revocation list"]);
    }
    let label = |line: &str| format!("-----{line} X509 CRL-----\n");
    let no_list = [&label("BEGIN"), "AAAA\n", &label("END")].concat();
    std::fs::write(&files.lists, no_list).unwrap();
    check(&["revocation list"]);
    let ended = list(&one, LONG, &[]) + &list(&one, [2020, 2021], &[]);
    std::fs::write(&files.lists, ended).unwrap();
    check(&["list 2", "2021-01-01T00:00:00.000Z"]);
    let file = File::create(&files.lists).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    check(&["16777216 bytes"]);
}
