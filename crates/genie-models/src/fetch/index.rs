//! Where a package's archive is: local wheel folders, then package indexes by
//! the simple repository API, as JSON (PEP 691) or HTML (PEP 503).
//! <https://packaging.python.org/en/latest/specifications/simple-repository-api/>

use std::fs;
use std::path::PathBuf;

use genie_core::ContentHash;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use ureq::ResponseExt as _;
use url::Url;

use super::http::{Client, Request, basic_auth};
use crate::SourceError;
use crate::settings::public;

/// The largest index page that is read, in bytes. The largest on the public
/// index are below 50 MB.
const LARGEST_PAGE: u64 = 100 << 20;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
                      application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// An archive that was found.
#[derive(Debug, Clone)]
pub(super) enum Archive {
    /// A file on this machine.
    Local(PathBuf),
    /// A file behind a URL.
    Remote(RemoteArchive),
}

/// An archive on an index.
#[derive(Debug, Clone)]
pub(super) struct RemoteArchive {
    pub(super) file_name: String,
    pub(super) url: Url,
    pub(super) sha256: Option<ContentHash>,
    pub(super) size: Option<u64>,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// Finds the archive of exactly this version of a package.
///
/// # Errors
///
/// The last index's error, where no index has the package.
pub(super) fn find(client: &Client, package: &str, version: &str) -> Result<Archive, SourceError> {
    if let Some(path) = find_local(client, package, version) {
        return Ok(Archive::Local(path));
    }
    let mut last = None;
    for index in &client.settings.index_urls {
        match find_on_index(client, index, package, version) {
            Ok(Some(archive)) => return Ok(Archive::Remote(archive)),
            Ok(None) | Err(SourceError::Status { status: 404, .. }) => {}
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| SourceError::NoPackage {
        package: package.to_owned(),
        version: version.to_owned(),
    }))
}

fn find_local(client: &Client, package: &str, version: &str) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = client
        .settings
        .find_links
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| is_wheel_of(name, package, version))
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

fn find_on_index(
    client: &Client,
    index: &Url,
    package: &str,
    version: &str,
) -> Result<Option<RemoteArchive>, SourceError> {
    let mut url = index.clone();
    let path = format!(
        "{}/{}/",
        url.path().trim_end_matches('/'),
        normalize(package)
    );
    url.set_path(&path);
    let credentials: Vec<_> = basic_auth(index).into_iter().collect();
    let mut headers = credentials.clone();
    headers.push(("accept", ACCEPT.to_owned()));
    let mut response = client.get(Request {
        url: &url,
        what: package,
        headers: &headers,
    })?;
    let no_index = || SourceError::NoIndex {
        host: public(index),
        package: package.to_owned(),
    };
    // Links are relative to where the page was in the end.
    let base = Url::parse(&response.get_uri().to_string()).map_err(|_| no_index())?;
    let json = response
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("json"));
    let page = response
        .body_mut()
        .with_config()
        .limit(LARGEST_PAGE)
        .read_to_string()
        .map_err(|_| no_index())?;
    let files = if json {
        read_json(&page).ok_or_else(no_index)?
    } else {
        read_html(&page)
    };
    let Some(file) = best_wheel(files, package, version) else {
        return Ok(None);
    };
    let target = base.join(&file.url).map_err(|_| no_index())?;
    let allowed =
        target.scheme() == "https" || (target.scheme() == "http" && index.scheme() == "http");
    if !allowed {
        return Err(SourceError::Downgrade {
            host: public(index),
        });
    }
    Ok(Some(RemoteArchive {
        // Credentials stay with the host that they were given for.
        headers: if same_origin(&target, index) {
            credentials
        } else {
            basic_auth(&target).into_iter().collect()
        },
        sha256: file.sha256(),
        size: file.size,
        file_name: file.name,
        url: target,
    }))
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// A wheel for every platform first; data is the same in all of them.
fn best_wheel(files: Vec<IndexFile>, package: &str, version: &str) -> Option<IndexFile> {
    files
        .into_iter()
        .filter(|file| is_wheel_of(&file.name, package, version))
        .min_by_key(|file| (!file.name.ends_with("-any.whl"), file.name.clone()))
}

/// PEP 503: names differ only by what this takes away.
fn normalize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        let character = if "-_.".contains(character) {
            '-'
        } else {
            character.to_ascii_lowercase()
        };
        if character != '-' || !out.ends_with('-') {
            out.push(character);
        }
    }
    out
}

fn is_wheel_of(file_name: &str, package: &str, version: &str) -> bool {
    let Some(stem) = file_name.strip_suffix(".whl") else {
        return false;
    };
    let fields: Vec<&str> = stem.split('-').collect();
    matches!(fields.len(), 5 | 6)
        && normalize(fields[0]) == normalize(package)
        && fields[1] == version
}

#[derive(Debug, Clone, PartialEq)]
struct IndexFile {
    name: String,
    url: String,
    digest: Option<String>,
    size: Option<u64>,
}

impl IndexFile {
    fn sha256(&self) -> Option<ContentHash> {
        self.digest.as_deref()?.parse().ok()
    }
}

fn read_json(page: &str) -> Option<Vec<IndexFile>> {
    #[derive(Deserialize)]
    struct Page {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        url: String,
        #[serde(default)]
        hashes: Hashes,
        size: Option<u64>,
    }
    #[derive(Deserialize, Default)]
    struct Hashes {
        sha256: Option<String>,
    }
    let page: Page = serde_json::from_str(page).ok()?;
    Some(
        page.files
            .into_iter()
            .map(|file| IndexFile {
                name: file.filename,
                url: file.url,
                digest: file.hashes.sha256,
                size: file.size,
            })
            .collect(),
    )
}

/// Reads the anchors of an index page. Such pages are made by programs to a
/// fixed form; all that counts is each anchor's `href`.
fn read_html(page: &str) -> Vec<IndexFile> {
    let mut files = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("<a") {
        rest = &rest[start + 2..];
        if !rest.starts_with(char::is_whitespace) {
            continue;
        }
        let Some(end) = end_of_tag(rest) else {
            break;
        };
        let (tag, behind) = rest.split_at(end);
        rest = behind;
        let Some(href) = attribute(tag, "href") else {
            continue;
        };
        let href = href.replace("&amp;", "&").replace("&#38;", "&");
        let (url, fragment) = href.split_once('#').unwrap_or((&href, ""));
        let path = url.split('?').next().unwrap_or(url);
        let name = path.rsplit('/').next().unwrap_or(path);
        files.push(IndexFile {
            name: percent_decode_str(name).decode_utf8_lossy().into_owned(),
            url: url.to_owned(),
            digest: fragment.strip_prefix("sha256=").map(str::to_owned),
            size: None,
        });
    }
    files
}

/// The `>` that ends a tag, quoted ones aside.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    None
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = tag;
    loop {
        let (key, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let quote = value.chars().next()?;
        let (value, behind) = if matches!(quote, '"' | '\'') {
            value[1..].split_once(quote)?
        } else {
            value.split_once(char::is_whitespace).unwrap_or((value, ""))
        };
        let key = key.split_whitespace().next_back().unwrap_or_default();
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_a_page_say_the_same() {
        let digest = "ab".repeat(32);
        let html = format!(
            "<!DOCTYPE html><html><body><h1>Links</h1>\n\
             <a href=\"../../files/my_model-1.0-py3-none-any.whl#sha256={digest}\" \
             data-requires-python=\"&gt;=3.8\">my_model-1.0-py3-none-any.whl</a><br/>\n\
             <abbr>not an anchor</abbr><a class='x>y' href='my_model-1.0.tar.gz'>sdist</a></body>"
        );
        let json = format!(
            r#"{{"meta":{{"api-version":"1.1"}},"name":"my-model","files":[
               {{"filename":"my_model-1.0-py3-none-any.whl",
                 "url":"../../files/my_model-1.0-py3-none-any.whl",
                 "hashes":{{"sha256":"{digest}"}},"yanked":false}},
               {{"filename":"my_model-1.0.tar.gz","url":"my_model-1.0.tar.gz","hashes":{{}}}}]}}"#
        );
        let files = read_html(&html);
        assert_eq!(files, read_json(&json).unwrap());
        let wheel = best_wheel(files, "My.Model", "1.0").unwrap();
        assert_eq!(wheel.sha256(), digest.parse().ok());
    }

    #[test]
    fn only_the_exact_version_is_taken_and_any_platform_first() {
        let file = |name: &str| IndexFile {
            name: name.to_owned(),
            url: name.to_owned(),
            digest: None,
            size: None,
        };
        let files = vec![
            file("m-1.0.1-py3-none-any.whl"),
            file("m-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"),
            file("m-1.0-1-py3-none-any.whl"),
            file("m-1.0.tar.gz"),
            file("m_extra-1.0-py3-none-any.whl"),
        ];
        let best = best_wheel(files.clone(), "m", "1.0").unwrap();
        assert_eq!(best.name, "m-1.0-1-py3-none-any.whl");
        assert_eq!(best_wheel(files, "m", "2.0"), None);
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(page in "(<a |href=|['\"=>#é/ ]|[a-z.]){0,60}") {
            let _ = read_html(&page);
        }
    }
}
