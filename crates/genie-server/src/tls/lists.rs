//! Files of certificates that their authorities have called back: how much of
//! one is read, and until when it counts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use genie_state::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};

use super::TlsError;

/// Bytes of a file: some three hundred thousand certificates. All of a list is
/// hashed for each client that greets with a certificate.
const LONGEST: u64 = 16 << 20;

/// Revocation lists (RFC 5280, section 5) of one file.
#[derive(Debug)]
pub(super) struct Lists {
    /// Newest first: of two of one authority the first counts.
    pub(super) all: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them ends (`nextUpdate`); then its authority has said
    /// something newer.
    pub(super) end: UnixTime,
}

/// What tells whether a file was changed: its time and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version(SystemTime, u64);

impl Version {
    /// `None` where the file can't be looked at.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let file = std::fs::metadata(file).ok()?;
        Some(Self(file.modified().ok()?, file.len()))
    }
}

impl Lists {
    /// Reads a PEM file of lists, all of which have to count at `now`.
    pub(super) fn read(path: &Path, now: UnixTime) -> Result<Self, TlsError> {
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| TlsError::File {
            path: path.to_owned(),
            what: "revocation list",
            source: error,
        };
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text))
            .map_err(|error| unusable(Box::new(error)))?;
        if text.len() as u64 > LONGEST {
            return Err(TlsError::TooLong {
                path: path.to_owned(),
                limit: LONGEST,
            });
        }
        let found = CertificateRevocationListDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(Box::new(error)))?;
        let mut dated = Vec::with_capacity(found.len());
        for (number, list) in (1..).zip(found) {
            let Some((begin, end)) = span(&list) else {
                return Err(unusable(Box::new(
                    rustls::Error::InvalidCertRevocationList(
                        rustls::CertRevocationListError::ParseError,
                    ),
                )));
            };
            if now >= end {
                return Err(TlsError::Ended {
                    path: path.to_owned(),
                    number,
                    end: written(end),
                });
            }
            dated.push((begin, end, list));
        }
        dated.sort_by_key(|(begin, ..)| std::cmp::Reverse(*begin));
        let end = dated.iter().map(|(_, end, _)| *end).min();
        let end =
            end.ok_or_else(|| unusable(Box::new(rustls::pki_types::pem::Error::NoItemsFound)))?;
        Ok(Self {
            all: dated.into_iter().map(|(_, _, list)| list).collect(),
            end,
        })
    }
}

/// As people read it.
pub(super) fn written(time: UnixTime) -> Timestamp {
    let micros = time.as_secs().saturating_mul(1_000_000);
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// From when until when a list counts: `thisUpdate` and `nextUpdate` of its
/// `tbsCertList`. `None` where it has none, or is no list.
fn span(list: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let (signed, _) = element(list, SEQUENCE)?;
    let (fields, _) = element(signed, SEQUENCE)?;
    let (_version, fields) = element(fields, INTEGER)?;
    let (_algorithm, fields) = element(fields, SEQUENCE)?;
    let (_issuer, fields) = element(fields, SEQUENCE)?;
    let (begin, fields) = time(fields)?;
    let (end, _) = time(fields)?;
    Some((begin, end))
}

/// The content of the element of DER that `bytes` begin with, and what is
/// behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, bytes) = bytes.split_first()?;
    let (length, bytes) = bytes.split_first()?;
    let (length, bytes) = match usize::from(*length) {
        short @ 0..=0x7f => (short, bytes),
        // Four bytes of length are more than a file can have.
        long @ 0x81..=0x84 => {
            let (digits, bytes) = bytes.split_at_checked(long - 0x80)?;
            let length = digits
                .iter()
                .fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
            (length, bytes)
        }
        _ => return None,
    };
    (*first == tag).then_some(())?;
    bytes.split_at_checked(length)
}

/// A time, in either of its two ways of writing: `YYMMDDHHMMSSZ`, of the years
/// 1950 to 2049, and `YYYYMMDDHHMMSSZ`.
fn time(bytes: &[u8]) -> Option<(UnixTime, &[u8])> {
    let (digits, rest, century) = if let Some((digits, rest)) = element(bytes, UTC_TIME) {
        let century = match digits.first()? {
            b'5'..=b'9' => "19",
            _ => "20",
        };
        (digits, rest, century)
    } else {
        let (digits, rest) = element(bytes, GENERALIZED_TIME)?;
        (digits, rest, "")
    };
    let digits = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    let digits = format!("{century}{digits}");
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| &digits[from..to];
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    );
    let time: Timestamp = text.parse().ok()?;
    // A list from before 1970 counts from then on.
    let seconds = u64::try_from(time.as_micros() / 1_000_000).unwrap_or(0);
    Some((
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("a short one");
        [&[tag, 0x81, length], content].concat()
    }

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        let check = |tag: u8, digits: &str, expected: Option<&str>| {
            let element = [der(tag, digits.as_bytes()), vec![7]].concat();
            let read = time(&element).map(|(time, rest)| {
                assert_eq!(rest, [7]);
                written(time).to_string()
            });
            assert_eq!(read.as_deref(), expected, "{digits}");
        };
        check(UTC_TIME, "240229235958Z", Some("2024-02-29T23:59:58.000Z"));
        check(UTC_TIME, "990101000000Z", Some("1999-01-01T00:00:00.000Z"));
        check(
            GENERALIZED_TIME,
            "21000101000000Z",
            Some("2100-01-01T00:00:00.000Z"),
        );
        check(UTC_TIME, "500101000000Z", Some("1970-01-01T00:00:00.000Z"));
        check(UTC_TIME, "230229000000Z", None);
        check(UTC_TIME, "240101000000", None);
        check(UTC_TIME, "2401010000+1Z", None);
        check(UTC_TIME, "21000101000000Z", None);
        check(GENERALIZED_TIME, "240101000000Z", None);
        check(INTEGER, "240101000000Z", None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // Lengths that reach beyond the end are the point of it.
            if let Some((content, rest)) = element(&bytes, *bytes.first().unwrap_or(&0)) {
                prop_assert!(content.len() + rest.len() + 2 <= bytes.len());
            }
            span(&bytes);
            span(&[der(SEQUENCE, &bytes[..bytes.len().min(100)]), bytes].concat());
        }
    }
}
